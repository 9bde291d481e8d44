-- Ends purged jobs that need no receipt and no look at their entries.
-- KEYS stream.
-- ARGV lane, channel, ids.
-- Answers ended, 0.
-- Errors: the lane is not a stream.

local n = redis.call('XDEL', KEYS[1], unpack(ARGV, 3))
if n > 0 then
  local prefix = ARGV[1] .. '-'
  redis.call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, 3))
end
return {n, 0}
