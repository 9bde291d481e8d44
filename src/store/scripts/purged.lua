-- Ends purged jobs that need a receipt or a line in the history, but no look at their entries.
-- KEYS stream, receipt prefix, history.
-- ARGV lane, channel, ttl_s, history (write_entry.lua), receipts (0|1), lines of the history, m, n,
-- front (0|1, remove.lua), pushers, m ranges of ids (second, score, smallest), n ids, n counts of
-- targets, unless all are 1. pushers: who pushed the jobs, for receipts that are keys, in lines:
-- how many jobs in a row, and what their receipts say of it (JSON); empty: not known.
-- Answers ended, receipts left out, jobs left out of the history.
-- Errors: the lane is not a stream.
--
-- If all entries are gone, the script is being repeated after a lost answer, and nothing is left to
-- do. If some are gone (deleted by hand), nobody can say which; an existing receipt is the true
-- one, so only jobs without a receipt get one. Without free memory, receipts are left out, because
-- a backlog of them could be larger than the entries that they replace. SETRANGE with an empty
-- value tests whether there is free memory: without it, it is refused, and it changes nothing.

--@include shared/record.lua
--@include shared/remove.lua

local call, n, from = redis.call, tonumber(ARGV[8]), 11 + 3 * tonumber(ARGV[7])
local to = from + n - 1
local past, wanted = keeps(ARGV[4]), ARGV[5] == '1'
local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')
local oom = type(probe) == 'table' and probe.err and probe.err:find('OOM', 1, true)
local ended = remove(KEYS[1], from, to, ARGV[9] == '1')
if ended == 0 then return {0, 0, 0} end
local prefix = ARGV[1] .. '-'
call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, from, to))
if oom then return {ended, wanted and ended or 0, past and ended or 0} end
if wanted and not (past and past.inside) then
  local key, ttl = KEYS[2] .. prefix, ARGV[3]
  local head = '{"job":"' .. prefix
  local middle = '","state":"purged","at":' .. int(now_ms()) .. ',"targets":'
  local runs, left, tail = ARGV[10]:gmatch('(%d+)([^\n]*)\n'), 0, '}'
  for i = from, to do
    if left == 0 then
      local jobs, by = runs()
      left, tail = tonumber(jobs or n), (by or '') .. '}'
    end
    left = left - 1
    local id = ARGV[i]
    local text = head .. id .. middle .. (ARGV[n + i] or '1') .. tail
    if ended == n then call('SETEX', key .. id, ttl, text)
    else call('SET', key .. id, text, 'NX', 'EX', ttl) end
  end
end
if not past then return {ended, 0, 0} end
local ranges = {unpack(ARGV, 11, from - 1)}
local out = record(KEYS[3], past, n, ARGV[6], ended < n, ranges, ARGV[3])
return {ended, wanted and past.inside and out or 0, out}
