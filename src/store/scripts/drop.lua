-- Ends purged jobs that need no receipt and no look at their entries.
-- KEYS stream.
-- ARGV lane, channel, front (0|1, remove.lua), ids.
-- Answers ended, 0.
-- Errors: the lane is not a stream.

--@include shared/remove.lua

local n = remove(KEYS[1], 4, #ARGV, ARGV[3] == '1')
if n > 0 then
  local prefix = ARGV[1] .. '-'
  redis.call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, 4))
end
return {n, 0}
