-- Ends purged jobs that need a receipt, but no look at their entries.
-- KEYS stream, receipt prefix.
-- ARGV lane, channel, ttl_s, n, n ids, n counts of targets, unless all are 1.
-- Answers ended, receipts left out.
-- Errors: the lane is not a stream.
--
-- If all entries are gone, the script is being repeated after a lost answer, and nothing is left to
-- do. If some are gone (deleted by hand), nobody can say which; an existing receipt is the true
-- one, so only jobs without a receipt get one. Without free memory, receipts are left out, because
-- a backlog of them could be larger than the entries that they replace. SETRANGE with an empty
-- value tests whether there is free memory: without it, it is refused, and it changes nothing.

--@include shared/now.lua

local call, n = redis.call, tonumber(ARGV[4])
local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')
local oom = type(probe) == 'table' and probe.err and probe.err:find('OOM', 1, true)
local ended = call('XDEL', KEYS[1], unpack(ARGV, 5, 4 + n))
if ended == 0 then return {0, 0} end
local prefix = ARGV[1] .. '-'
call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, 5, 4 + n))
if oom then return {ended, ended} end
local key, ttl = KEYS[2] .. prefix, ARGV[3]
local head = '{"job":"' .. prefix
local middle = '","state":"purged","at":' .. int(now_ms()) .. ',"targets":'
for i = 5, 4 + n do
  local id = ARGV[i]
  local text = head .. id .. middle .. (ARGV[n + i] or '1') .. '}'
  if ended == n then call('SETEX', key .. id, ttl, text)
  else call('SET', key .. id, text, 'NX', 'EX', ttl) end
end
return {ended, 0}
