-- Lowers the last id of a lane whose entries came from a clock that was ahead.
-- KEYS lane.
-- Answers 1, also if there is no such lane; or 0 if an entry is in the way.
-- Errors: the lane is not a stream; since some 7.x version: the id is below one that was deleted.
--
-- XSETID may lower the last id if no entry is above it:
-- https://redis.io/docs/latest/commands/xsetid/

if redis.call('TYPE', KEYS[1]).ok == 'none' then return 1 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if top and tonumber(top[1]:match('^%d+')) >= now then return 0 end
redis.call('XSETID', KEYS[1], string.format('%.0f-0', now))
return 1
