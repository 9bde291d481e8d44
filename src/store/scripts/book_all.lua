-- Books the whole budget of a ledger as spent now.
-- KEYS budget spent.
-- ARGV units.
-- Answers the id of the booking.
-- Errors: `spent` is no stream; OOM.
--
-- The booking has the account's time, if that is known, because it may be ahead of Redis' clock. A
-- booking in the future counts for longer, which is the safe side.

local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local h = redis.pcall('HMGET', KEYS[1], 'clock', 'clock_at')
local clock, at = tonumber(h[1] or ''), tonumber(h[2] or '')
if clock and at then now = math.max(now, clock + math.max(0, now - at)) end
return redis.call('XADD', KEYS[2], '*', 'c', ARGV[1], 't', string.format('%.0f', now))
