-- Tells the state of an account in one answer.
-- A question.
-- KEYS the three lanes, postponed, dead, lease, control, status, later (of version 0.1.0).
-- Answers the lengths of the lanes, the ages of their oldest entries, how many are postponed, when
-- the next of them is due, dead letters, whether there is a lease, paused, status, the time (ms).
-- Errors: a key of the wrong type.

--@include shared/backlog.lua

local out, now = backlog()
out[10] = redis.call('EXISTS', KEYS[6])
out[11] = redis.call('HGET', KEYS[7], 'paused') or '0'
out[12] = redis.call('GET', KEYS[8]) or ''
out[13] = now
return out
