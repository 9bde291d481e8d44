-- Removes a dead letter whose job the XADD before it put back into its lane, in one transaction.
-- KEYS dead, lane.
-- ARGV id.
-- Answers 1, or 0 if there is no such letter.
-- Errors: a key of the wrong type; the letter is still there then.
--
-- A transaction goes on after a command that failed. The XADD fails if the lane is not a stream,
-- and then the XLEN here fails, too, so that the only copy of the job stays.

redis.call('XLEN', KEYS[2])
return redis.call('XDEL', KEYS[1], ARGV[1])
