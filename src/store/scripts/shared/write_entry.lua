-- For scripts that write the history.
-- keeps(text): what ARGV says of the history, as <jobs>:<seconds>:<keys|history>: how many jobs it
-- keeps, for how many seconds, and where receipts are. Returns a table with most, keep_s, inside
-- (true: receipts are lines of the history); nil if there is no history.
-- write_entry(key, past, jobs, lines, unsure, ranges, ttl_s): adds an entry for `jobs` ended jobs,
-- and removes what is beyond the limits, but only a little at a time. ranges: of the jobs whose
-- lines are receipts, as a list {second, score, smallest, ...} (below); they live for ttl_s.
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
--
-- From a job's id to its line: the id has the ms at which the job was accepted. For each four
-- seconds in which jobs of an entry were accepted, the sorted set <key>:at:<the first of these
-- seconds> gets a member "<smallest id> <the entry's id>", and its score is the place of the
-- largest id within the four seconds. So the entries that may have a job are those from its own
-- score up whose smallest id is not larger. An entry has jobs of one or two seconds, as a rule.

--@include shared/now.lua

local function keeps(text)
  local most, keep_s, where = text:match('^(%d+):(%d+):(%a+)$')
  if not most then return nil end
  return {most = tonumber(most), keep_s = tonumber(keep_s), inside = where == 'history'}
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
local function write_entry(key, past, jobs, lines, unsure, ranges, ttl_s)
  local size, ms = key .. ':size', now_ms()
  local known = redis.call('HMGET', size, 'total', 'first')
  local total, first = tonumber(known[1] or '') or 0, tonumber(known[2] or '') or 0
  local entry = {'v', '1', 'n', int(jobs), 'sum', int(total), 'at', int(ms), 'jobs', lines}
  if unsure then entry[11], entry[12] = 'unsure', '1' end
  local id = redis.call('XADD', key, '*', unpack(entry))
  for i = 1, #ranges, 3 do
    local at = key .. ':at:' .. ranges[i]
    redis.call('ZADD', at, ranges[i + 1], ranges[i + 2] .. ' ' .. id)
    redis.call('EXPIRE', at, ttl_s)
  end
  redis.call('XTRIM', key, 'MINID', '~', int(math.max(0, ms - past.keep_s * 1000)), 'LIMIT', 200)
  first = trim(key, id, past.most, total + jobs, first)
  redis.call('HSET', size, 'total', int(total + jobs), 'first', int(first))
end
