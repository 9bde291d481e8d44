-- backlog(): what waits in an account: a list of the lengths of the lanes, the ages of their oldest
-- entries (-1: unknown), how many jobs are postponed, when the next of them is due, and how many
-- dead letters there are; and the time (ms).
-- KEYS the three lanes, postponed, dead; the ninth is later (of version 0.1.0).

--@include shared/oldest.lua

local function backlog()
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
  return out, now
end
