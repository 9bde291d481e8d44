-- reads_held(name, most): for how many ms Fastly refuses requests that count against this limit, at
-- most `most`. A hold that seems to last longer was written before the clock was set back: it is
-- over.

--@include shared/now.lua

local now = now_ms()
local function reads_held(name, most)
  local till = tonumber(redis.call('HGET', KEYS[1], name .. ':until') or '') or 0
  return till - now > most + 60000 and 0 or math.max(0, till - now)
end
