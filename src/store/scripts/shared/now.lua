-- now_ms(): Redis' clock in milliseconds. int(n): a number as Redis writes it, without an exponent.
--
-- Writing after TIME is allowed: since Redis 5 the effects of a script are replicated, not the
-- script.

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function int(n) return string.format('%.0f', n) end
