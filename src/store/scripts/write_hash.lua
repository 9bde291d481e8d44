-- A plain command on a hash, carried out even when Redis is out of memory.
-- KEYS key.
-- ARGV command, arguments.
-- Answers what the command answers.
-- Errors: those of the command; the key is no hash.

redis.call('HDEL', KEYS[1], '')
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
