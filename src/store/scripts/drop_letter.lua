-- Removes a dead letter whose job went back to its lane by the XADD before, in one transaction.
-- KEYS dead, lane.
-- ARGV id.
-- Answers 1, or 0 when there is no such letter.
-- Errors: a key of the wrong type; the letter is still there then.
--
-- A transaction goes on after a command that failed. An XADD fails there when the lane is no
-- stream, and so does the XLEN here: the only copy of the job stays.

redis.call('XLEN', KEYS[2])
return redis.call('XDEL', KEYS[1], ARGV[1])
