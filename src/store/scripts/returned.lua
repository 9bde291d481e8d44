-- The last step of a large job's way back, after it was written to its lane. If it was cancelled
-- meanwhile, it is removed from the lane.
-- KEYS postponed, postponed:jobs, places, stream.
-- ARGV name, job, place, entry id.
-- Answers 1, or 0 if it was cancelled.
-- Errors: a key of the wrong type.

redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  redis.call('XDEL', KEYS[4], ARGV[4])
  return 0
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 1
