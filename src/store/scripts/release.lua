-- Gives the lease back.
-- KEYS lease.
-- ARGV owner.
-- Answers 1, or 0 if the lease is not the owner's.
-- Errors: the lease is not a string.

if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
