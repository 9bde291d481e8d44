-- Fastly has refused a request that reads its API, by 429 or because of the token. None like it
-- is sent for a while.
-- KEYS reads.
-- ARGV the name of the limit that it counts against; for how many ms, 0: the hold ends; at most.
-- Answers for how many ms it holds: an earlier refusal may hold longer.
-- Errors: a key of the wrong type.

--@include shared/reads_held.lua

redis.call('HDEL', KEYS[1], '')
local ms, most = tonumber(ARGV[2]), tonumber(ARGV[3])
if ms > 0 then ms = math.min(math.max(reads_held(ARGV[1], most), ms), most) end
redis.call('HSET', KEYS[1], ARGV[1] .. ':until', int(now + ms))
return int(ms)
