-- A plain command on a stream, carried out even when Redis is out of memory.
-- KEYS key.
-- ARGV command, arguments.
-- Answers what the command answers.
-- Errors: those of the command; the key is no stream.

redis.call('XDEL', KEYS[1], '0-1')
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
