-- Tells how far back a history reaches.
-- A question.
-- KEYS history.
-- Answers how many entries it has, how many jobs there are in these (as far as known), and for how
-- many ms the oldest has been there (-1: there is none).
-- Errors: a key of the wrong type.

--@include shared/now.lua

local entries, age = redis.call('XLEN', KEYS[1]), -1
local size = redis.call('HMGET', KEYS[1] .. ':size', 'total', 'first')
local jobs = (tonumber(size[1] or '') or 0) - (tonumber(size[2] or '') or 0)
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if first then age = math.max(0, now_ms() - tonumber(first[1]:match('^%d+'))) end
return {entries, int(entries > 0 and math.max(jobs, 0) or 0), int(age)}
