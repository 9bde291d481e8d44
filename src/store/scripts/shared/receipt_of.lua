-- line_as_receipt(line, at): the receipt that a line of the history says (core/history_line.h), and
-- who pushed the job.
-- receipt_in_history(history, job, from, most): looks for a receipt among the lines of the history,
-- in the entries whose jobs have largest ids with a score beyond `from` (write_entry.lua; '':
-- from the beginning), and in `most` of them, or more if they have the same score. Returns the
-- receipt; or nil, and the score from which to go on, or nothing if there are no more.
--
-- If a job has several lines, the newest holds, but one of an entry that is unsure only if there is
-- no other.

--@include shared/place_in_time.lua
--@include shared/by_of.lua

local function line_as_receipt(line, at)
  local head, rest = line:match('^({"job":"[^"]*","state":"%l+")(.*)}$')
  if not head then return nil end
  local purge = rest:find(',"purge":{', 1, true)
  local by = purge and by_of(rest:sub(purge))
  if purge then rest = rest:sub(1, purge - 1) end
  if by then rest = rest .. ',"by":' .. by end
  if rest:sub(1, 6) == ',"at":' then return head .. rest .. '}' end
  if rest:sub(1, 11) ~= ',"targets":' then rest = ',"targets":1' .. rest end
  return head .. ',"at":' .. at .. rest .. '}'
end
local function in_entry(entry, job)
  local fields = {}
  for i = 1, #entry[2] - 1, 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local text = fields.v == '1' and fields.jobs or ''
  local from = text:find('{"job":"' .. job .. '","state":', 1, true)
  while from and from > 1 and text:byte(from - 1) ~= 10 do
    from = text:find('{"job":"' .. job .. '","state":', from + 1, true)
  end
  if not from then return nil end
  local at = fields.at and fields.at:match('^%d+$') or entry[1]:match('^%d+')
  return line_as_receipt(text:match('^[^\n]*', from), at), fields.unsure
end
local function not_beyond(a, b)
  local ms, seq = a:match('^(%d+)%-(%d+)$')
  local other_ms, other_seq = b:match('^(%d+)%-(%d+)')
  if not ms or not other_ms then return false end
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(seq) <= tonumber(other_seq)
end
local function receipt_in_history(history, job, from, most)
  local second, score = place_in_time(job)
  if not second then return nil end
  if from == '' then from = string.format('%.0f', score) else from = '(' .. from end
  local rows = redis.call('ZRANGEBYSCORE', history .. ':at:' .. second, from, '+inf', 'WITHSCORES',
    'LIMIT', 0, 400)
  local best, best_id, looked, id = nil, nil, 0, job:match('%d+%-%d+')
  for i = 1, #rows, 2 do
    local smallest, entry_id = rows[i]:match('^(%S+) (%d+%-%d+)$')
    if smallest and not_beyond(smallest, id) then
      local entry = redis.call('XRANGE', history, entry_id, entry_id)[1]
      local found, unsure
      if entry then found, unsure = in_entry(entry, job) end
      if found and (not best or (best_id == '' and not unsure) or
        (not unsure and not_beyond(best_id, entry_id))) then
        best, best_id = found, unsure and '' or entry_id
      end
      looked = looked + 1
      if looked >= most and rows[i + 1] ~= rows[i + 3] then
        if best then return best end
        return nil, rows[i + 1]
      end
    end
  end
  if best or #rows < 800 then return best end
  return nil, rows[#rows]
end
