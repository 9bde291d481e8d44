-- The last step of a large job's way back: it is in its lane again. When it was cancelled
-- meanwhile it goes from there.
-- KEYS postponed, postponed:jobs, places, stream.
-- ARGV name, job, place, entry id.
-- Answers 1, or 0 when it was cancelled.
-- Errors: a key of the wrong type.

redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  redis.call('XDEL', KEYS[4], ARGV[4])
  return 0
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 1
