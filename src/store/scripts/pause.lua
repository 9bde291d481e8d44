-- Writes control: whether the account is paused, why, and by whom.
-- KEYS control.
-- ARGV paused (0|1), why, by.
-- Answers how many fields are new.
-- Errors: control is no hash.

--@include shared/now.lua

redis.call('HDEL', KEYS[1], '')
return redis.call('HSET', KEYS[1], 'paused', ARGV[1], 'why', ARGV[2], 'by', ARGV[3],
  'at', int(now_ms()))
