-- Tells how many entries are in the lanes.
-- KEYS urgent normal bulk.
-- Answers per lane its length, the newest id it ever had, and 1 if that entry still exists.
-- Errors: a lane is not a stream. Never OOM.

--@include shared/there.lua
--@include shared/newest.lua

local out = {}
for i = 1, 3 do
  local length, last = redis.call('XLEN', KEYS[i]), newest(KEYS[i])
  out[#out + 1] = length
  out[#out + 1] = last
  out[#out + 1] = length > 0 and there(KEYS[i], last) and 1 or 0
end
return out
