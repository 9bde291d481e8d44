-- The step before the XADD of a large job with an idempotency key: notes the newest id of the
-- stream.
-- KEYS stream note.
-- Answers the newest id of the stream.
-- Errors: the lane is no stream; OOM.

--@include shared/newest.lua

local last = newest(KEYS[1])
redis.call('SET', KEYS[2], last .. ' ' .. redis.call('XLEN', KEYS[1]),
  'EX', 60)
return last
