-- reads_of(name, window): what was sent in the last `window` ms and counts against this limit, as a
-- list {at = ms, n = count}, oldest first, each for a sixtieth of the window; and the sum.
--
-- Redis' clock may be set back. What then seems to be sent in the future counts as sent now. What
-- is not understood is ignored.

--@include shared/reads_held.lua

local function reads_of(name, window)
  local width, list, sum = window / 60, {}, 0
  local text = redis.call('HGET', KEYS[1], name) or ''
  if #text > 4096 then text = '' end
  for at, n in text:gmatch('(%d+) (%d+)') do
    at, n = math.min(tonumber(at), now - now % width), math.min(tonumber(n), 1000000000)
    if at + width + window > now then
      list[#list + 1] = {at = at, n = n}
      sum = sum + n
    end
  end
  return list, sum
end
