-- For scripts that write the history.
-- keeps(text): what ARGV says of the history: how many jobs it keeps, and for how many seconds, as
-- <jobs>:<seconds>; nil if there is none.
-- record(key, most, keep_s, jobs, lines[, unsure]): adds an entry for `jobs` ended jobs, and
-- removes what is beyond the limits, but only a little at a time. Returns how many jobs were left
-- out: all, if the key cannot be written, for a broken history must not stop the dispatch.
--
-- An entry has the fields v = 1 (the format), n = number of jobs, sum = number of jobs that came
-- before it, at = Unix ms, and jobs = a line of JSON per job (core/history_line.h). Acts of people
-- are entries, too, and count as one job each. unsure = 1: some of these jobs had been removed by
-- hand or cancelled before, and nobody can say which; so their lines hold only for jobs that have
-- no other line.
--
-- The hash <key>:size has total, the sum of the next entry, and first, that of the first entry, as
-- far as we know. Thus the number of jobs is known without reading entries. If the hash is lost,
-- the right one is found again as entries go.

--@include shared/now.lua

local function keeps(text)
  local most, keep_s = text:match('^(%d+):(%d+)$')
  return tonumber(most), tonumber(keep_s)
end
local function limits_of(entry)
  local n, sum = 0, nil
  for i = 1, #entry[2] - 1, 2 do
    local name, value = entry[2][i], tonumber(entry[2][i + 1]:sub(1, 20))
    if name == 'n' then n = value or 0 elseif name == 'sum' then sum = value end
  end
  return n, sum
end
local function trim(key, own, most, total, first)
  for _ = 1, 4 do
    if total - first <= most then break end
    local e = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    if not e or e[1] == own then break end
    local n, sum = limits_of(e)
    if sum and sum > first and sum < total and total - sum <= most then return sum end
    redis.call('XDEL', key, e[1])
    if sum and sum < total then first = math.max(first, sum + n) end
  end
  return first
end
local function write_entry(key, most, keep_s, jobs, lines, unsure)
  local size, ms = key .. ':size', now_ms()
  local known = redis.call('HMGET', size, 'total', 'first')
  local total, first = tonumber(known[1] or '') or 0, tonumber(known[2] or '') or 0
  local entry = {'v', '1', 'n', int(jobs), 'sum', int(total), 'at', int(ms), 'jobs', lines}
  if unsure then entry[11], entry[12] = 'unsure', '1' end
  local id = redis.call('XADD', key, '*', unpack(entry))
  redis.call('XTRIM', key, 'MINID', '~', int(math.max(0, ms - keep_s * 1000)), 'LIMIT', 200)
  first = trim(key, id, most, total + jobs, first)
  redis.call('HSET', size, 'total', int(total + jobs), 'first', int(first))
end
local function record(key, most, keep_s, jobs, lines, unsure)
  return pcall(write_entry, key, most, keep_s, jobs, lines, unsure) and 0 or jobs
end
