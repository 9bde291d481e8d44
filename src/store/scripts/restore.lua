-- Reads a ledger, for an instance that begins to lead.
-- KEYS lease budget spent.
-- ARGV owner, k, seq, late_ms, clock, wall.
-- Answers 0 if the lease is not ours, otherwise 1, known, level, its age in ms, the account's
-- time, and what a 429 taught: the burst (0: nothing), what was spent then, its age in ms.
-- Errors: a key of the wrong type.
--
-- A take-over alone leaves a hash without a level; the bucket is then as full as that of a new
-- account.

--@include shared/now.lua

local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'
if call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
call('HDEL', budget, '')
local h = call('HMGET', budget, k .. 'open', k .. 'level', k .. 'level_at', 'clock',
  'clock_at', 'clock_wall', k .. 'learnt', k .. 'learnt_spent', k .. 'learnt_at')
local now, open = now_ms(), math.max(0, tonumber(h[1] or 0))
local clock = now
if h[4] and h[5] and h[6] then
  local gap = math.min(now - tonumber(h[5]), tonumber(ARGV[6]) - tonumber(h[6]))
  clock = tonumber(h[4]) + math.max(0, gap)
end
if ARGV[5] ~= '0' then clock = math.min(clock, tonumber(ARGV[5])) end
if open > 0 then
  call('XADD', KEYS[3], '*', 'c', int(open), 't', int(clock + tonumber(ARGV[4])))
end
call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[3], k .. 'open', '0',
  k .. 'booked', '0', 'clock', int(clock), 'clock_at', int(now), 'clock_wall', ARGV[6])
return {1, h[2] and 1 or 0, h[2] or '0',
  int(math.max(0, now - tonumber(h[3] or now))), int(clock), h[7] or '0', h[8] or '0',
  int(math.max(0, clock - tonumber(h[9] or clock)))}
