-- Reads a ledger, for an instance that begins to lead.
-- KEYS lease budget spent.
-- ARGV owner, k, seq, late_ms, clock, wall, ahead, led_in (the history in which the owner wrote the
-- ledger last, or '').
-- Answers 0 if the lease is not ours, otherwise 1, known, level, its age in ms, the account's
-- time, what a 429 taught: the burst (0: nothing), what was spent then, its age in ms; and `ahead`.
-- Errors: a key of the wrong type.
--
-- A take-over alone leaves a hash without a level; the bucket is then as full as that of a new
-- account.
--
-- Under another history than the one in which the budget was last written, its last reservations
-- may be lost. So as many units as these can be (`ahead` in spend.lua) count as spent, too. What
-- Redis has of it stays: the owner must not reserve more before it has written more, because the
-- next failover may go back to the state before this script. ARGV ahead is for when there is none
-- (0: no writes can be lost).

--@include shared/now.lua
--@include shared/other_history.lua

local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'
if call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
call('HDEL', budget, '')
local h = call('HMGET', budget, k .. 'open', k .. 'level', k .. 'level_at', 'clock',
  'clock_at', 'clock_wall', k .. 'learnt', k .. 'learnt_spent', k .. 'learnt_at',
  k .. 'ahead', k .. 'history')
local now, open = now_ms(), math.max(0, tonumber(h[1] or 0))
local clock = now
if h[4] and h[5] and h[6] then
  local gap = math.min(now - tonumber(h[5]), tonumber(ARGV[6]) - tonumber(h[6]))
  clock = tonumber(h[4]) + math.max(0, gap)
end
if ARGV[5] ~= '0' then clock = math.min(clock, tonumber(ARGV[5])) end
local ahead = math.max(0, tonumber(h[10] or ARGV[7]))
if other_history(h[11] or ARGV[8]) then open = open + ahead end
if open > 0 then
  call('XADD', KEYS[3], '*', 'c', int(open), 't', int(clock + tonumber(ARGV[4])))
end
call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[3], k .. 'open', '0',
  k .. 'booked', '0', 'clock', int(clock), 'clock_at', int(now), 'clock_wall', ARGV[6])
if ARGV[7] ~= '0' then
  call('HSET', budget, k .. 'ahead', int(ahead), k .. 'history', history())
elseif h[11] then
  call('HDEL', budget, k .. 'ahead', k .. 'history')
end
return {1, h[2] and 1 or 0, h[2] or '0',
  int(math.max(0, now - tonumber(h[3] or now))), int(clock), h[7] or '0', h[8] or '0',
  int(math.max(0, clock - tonumber(h[9] or clock))), int(ahead)}
