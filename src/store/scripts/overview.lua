-- Tells the state of an account in one answer.
-- A question.
-- KEYS the three lanes, postponed, dead, lease, control, status, later (of version 0.1.0).
-- Answers the lengths of the lanes, the ages of their oldest entries, how many are postponed, when
-- the next of them is due, dead letters, whether there is a lease, paused, status, the time (ms).
-- Errors: a key of the wrong type.

--@include shared/oldest.lua

local out, t = {}, redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for i = 1, 3 do
  out[i] = redis.call('XLEN', KEYS[i])
  out[3 + i] = age_of_oldest(KEYS[i], out[i], now)
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
