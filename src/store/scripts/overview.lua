-- Tells the state of an account in one answer.
-- A question.
-- KEYS the three lanes, postponed, dead, lease, control, status, later (of version 0.1.0).
-- Answers the lengths of the lanes, the ages of their oldest entries, how many are postponed, when
-- the next of them is due, dead letters, whether there is a lease, paused, status, the time (ms).
-- Errors: a key of the wrong type.
--
-- The id of a lane's oldest entry tells its age, but XRANGE returns the whole entry, and an entry
-- with 10,000 long URLs would keep Redis busy for a second. MEMORY USAGE multiplies the size of the
-- stream's first node (at most 100 entries) by the number of nodes, and so tells how large the
-- oldest entry can be. If it can be larger than a script may look at, the age is -1: unknown.

local out, t = {}, redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function age(key, length)
  if length == 0 then return 0 end
  local most = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 1)
  if length > 200 then most = most * 200 / length end
  if most > 1048576 then return -1 end
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  return math.max(0, now - tonumber(first[1]:match('^%d+')))
end
for i = 1, 3 do
  out[i] = redis.call('XLEN', KEYS[i])
  out[3 + i] = age(KEYS[i], out[i])
end
local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
out[7] = redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[9])
out[8] = next and math.max(0, math.floor(tonumber(next)) - now) or 0
out[9] = redis.call('XLEN', KEYS[5])
out[10] = redis.call('EXISTS', KEYS[6])
out[11] = redis.call('HGET', KEYS[7], 'paused') or '0'
out[12] = redis.call('GET', KEYS[8]) or ''
out[13] = now
return out
