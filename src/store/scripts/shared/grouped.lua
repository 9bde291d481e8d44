-- grouped(key, command, ...): runs a command that needs our consumer group. Creates the group if
-- there is none; returns nil if there is no such key.
--
-- The group is not used for reading. It exists for two commands that tell something about a stream
-- without returning its entries (there.lua, newest.lua). XGROUP CREATE needs memory. XDEL does not,
-- so it comes first: a script that has written once may go on without free memory.

local function grouped(key, command, ...)
  if redis.call('EXISTS', key) == 0 then return nil end
  local r = redis.pcall(command, ...)
  if type(r) ~= 'table' or not r.err then return r end
  if not r.err:find('NOGROUP', 1, true) then error(r.err) end
  redis.call('XDEL', key, '0-1')
  redis.call('XGROUP', 'CREATE', key, 'purgeline', '0')
  return redis.call(command, ...)
end
