-- reads_held(name): for how many ms Fastly refuses requests that count against this limit. A hold
-- that seems to end in more than an hour was written before the clock was set back, and is over.

--@include shared/now.lua

local now = now_ms()
local function reads_held(name)
  local till = tonumber(redis.call('HGET', KEYS[1], name .. ':until') or '') or 0
  return till - now > 3660000 and 0 or math.max(0, till - now)
end
