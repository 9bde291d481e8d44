-- place_in_time(job): from a job's id: the first of its four seconds, and the score of its place
-- within them (write_entry.lua). nil for ids that only hands write; their receipts are keys.

local function place_in_time(job)
  local ms, seq, more = job:match('^%l+%-(%d+)%-(%d+)(.*)$')
  if not ms or #ms > 14 or #seq > 12 or more:find('[^+r]') then return nil end
  ms = tonumber(ms)
  return string.format('%.0f', (ms - ms % 4000) / 1000), ms % 4000 * 1099511627776 + tonumber(seq)
end
