-- Moves postponed jobs that are due back to their lanes.
-- KEYS postponed, postponed:jobs, places, dead, urgent, normal, bulk.
-- ARGV wall_ms, limit, small (bytes), most fields.
-- Answers moved, score of the next ('' if there is none), then the names of large jobs.
-- Errors: a key of the wrong type.
--
-- What cannot be read as a job becomes a dead letter. So does a job of a newer version that has
-- more than the four parts that queue_pack.h describes: without the others it could be handled
-- wrongly. The script stops early when it has done enough work for one call.

--@include shared/now.lua

local call, moved, large, bytes = redis.call, 0, {}, 0
local lanes = {urgent = KEYS[5], normal = KEYS[6], bulk = KEYS[7]}
call('XDEL', KEYS[5], '0-1')
local function understood(packed)
  local ok, m = pcall(cmsgpack.unpack, packed)
  if not ok or type(m) ~= 'table' or #m ~= 4 or not lanes[m[1]] or
    type(m[2]) ~= 'string' or type(m[4]) ~= 'table' or #m[4] % 2 ~= 0 then return nil end
  for i = 1, #m[4] do if type(m[4][i]) ~= 'string' then return nil end end
  return m
end
local function back(name, packed)
  local m = understood(packed)
  if not m then
    call('XADD', KEYS[4], '*', 'later', packed or name,
      'dead_reason', 'later: not readable: damaged, or of a newer version',
      'dead_job', '', 'dead_at', int(now_ms()), 'dead_target', '')
  elseif #m[4] > tonumber(ARGV[4]) then
    large[#large + 1] = name
    return
  else
    local fields = m[4]
    fields[#fields + 1] = 'job'
    fields[#fields + 1] = m[2]
    local id = call('XADD', lanes[m[1]], '*', unpack(fields))
    call('HSET', KEYS[3], m[2], m[1] .. '-' .. id)
    moved = moved + 1
  end
  call('ZREM', KEYS[1], name)
  call('HDEL', KEYS[2], name)
end
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for i = 1, #due do
  local size = call('HSTRLEN', KEYS[2], due[i])
  bytes = bytes + size
  if size > tonumber(ARGV[3]) then large[#large + 1] = due[i]
  else back(due[i], call('HGET', KEYS[2], due[i])) end
  if #large == 4 or bytes > 131072 then break end
end
local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local out = {moved, first[2] and int(tonumber(first[2])) or ''}
for i = 1, #large do out[i + 2] = large[i] end
return out
