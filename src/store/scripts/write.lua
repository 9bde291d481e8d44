-- Carries out a plain command on a stream, even when Redis is out of memory.
-- KEYS key.
-- ARGV command, arguments.
-- Answers the reply of the command.
-- Errors: those of the command; the key is not a stream.

redis.call('XDEL', KEYS[1], '0-1')
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
