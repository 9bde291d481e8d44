-- Reserves budget: the durable half of the ledger.
-- KEYS lease budget spent.
-- ARGV owner, k, seq, open, booked, book, level, window_ms, clock, wall, what a 429 taught:
-- the burst (0: nothing), what was spent then, and when by the account's time; ahead.
-- Answers 1; or 0 if the lease is not ours, or was another owner's in between: we do not know what
-- that owner spent.
-- Errors: a key of the wrong type.
--
-- The arguments are totals, not differences, so that repeating an operation whose reply was lost
-- books nothing twice: `open` is what is open after it, `booked` is all that this owner has booked
-- since it took over, and `book` is this operation's part of `booked`. `seq` keeps a repeated
-- script from overtaking a later one.
--
-- A failover may lose the last reservations. `ahead` is how many units can be reserved after this
-- and before no failover goes back to it any more (0: none can be lost); who restores the budget
-- under another history counts these as spent.
--
-- Old bookings are trimmed by the account's time, which ids do not show; so this is done seldom,
-- and then for many bookings at once.

--@include shared/now.lua
--@include shared/when.lua
--@include shared/history.lua

local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'
if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local h = call('HMGET', budget, k .. 'owner', k .. 'seq', k .. 'booked', k .. 'ahead',
  k .. 'history')
if h[1] and h[1] ~= ARGV[1] then return 0 end
call('HDEL', budget, '')
local now, clock, cost, booked = now_ms(), tonumber(ARGV[9]), tonumber(ARGV[6]), ARGV[5]
if h[1] then
  if tonumber(ARGV[3]) <= tonumber(h[2] or 0) then return 1 end
  cost = tonumber(ARGV[5]) - tonumber(h[3] or 0)
  if cost < 0 then booked = h[3] end
end
local function trim(from)
  local first, last = call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1], nil
  if when(first) >= from - tonumber(ARGV[8]) / 16 then return end
  for _, e in ipairs(call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1000)) do
    if when(e) >= from then break end
    last = e[1]
  end
  call('XTRIM', KEYS[3], 'MINID', last)
end
if cost > 0 then
  call('XADD', KEYS[3], '*', 'c', int(cost), 't', ARGV[9])
  trim(clock - tonumber(ARGV[8]))
end
call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[3], k .. 'open', ARGV[4],
  k .. 'booked', booked, k .. 'level', ARGV[7], k .. 'level_at', int(now),
  'clock', ARGV[9], 'clock_at', int(now), 'clock_wall', ARGV[10])
if ARGV[11] ~= '0' then
  call('HSET', budget, k .. 'learnt', ARGV[11], k .. 'learnt_spent', ARGV[12],
    k .. 'learnt_at', ARGV[13])
end
if ARGV[14] ~= '0' then
  local present = history()
  if h[4] ~= ARGV[14] or h[5] ~= present then
    call('HSET', budget, k .. 'ahead', ARGV[14], k .. 'history', present)
  end
elseif h[5] then
  call('HDEL', budget, k .. 'ahead', k .. 'history')
end
return 1
