-- Tells how many requests have read Fastly's API.
-- A question.
-- KEYS reads.
-- ARGV for each limit: its name, the length of its window in ms, for how many ms a 429 holds at
-- most.
-- Answers for each limit: how many were sent in the last window, for how many ms Fastly refuses
-- more; how many were sent and how many were not because of the limit, since ever.
-- Errors: a key of the wrong type.

--@include shared/reads.lua

local out = {}
local function number(field)
  local n = tonumber(redis.call('HGET', KEYS[1], field) or '') or 0
  return int(math.min(math.max(n, 0), 1e15))
end
for i = 1, #ARGV, 3 do
  local _, sum = reads_of(ARGV[i], tonumber(ARGV[i + 1]))
  out[#out + 1] = int(sum)
  out[#out + 1] = int(reads_held(ARGV[i], tonumber(ARGV[i + 2])))
  out[#out + 1] = number(ARGV[i] .. ':total')
  out[#out + 1] = number(ARGV[i] .. ':refused')
end
return out
