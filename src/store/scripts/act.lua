-- Sets fields of a hash, if one is given, and notes in the history who asked for that, or for what
-- has been done before, even when Redis is out of memory.
-- KEYS history, <history>:size [, hash]. (While a slot moves, a node of a Cluster refuses scripts
-- only if it does not have all the keys that are named. So the second one is named, too.)
-- ARGV history (write_entry.lua), line for the history, fields and values of the hash.
-- Answers how many acts were left out of the history: 0 or 1.
-- Errors: those of HDEL and HSET on the hash; a history that cannot be written is none.

--@include shared/record.lua

if KEYS[3] then
  redis.call('HDEL', KEYS[3], '')
  redis.call('HSET', KEYS[3], unpack(ARGV, 3))
end
local past = keeps(ARGV[1])
if not past then return 0 end
redis.pcall('XDEL', KEYS[1], '0-1')
return record(KEYS[1], past, 1, ARGV[2], nil, {})
