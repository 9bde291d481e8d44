-- grouped(key, command, ...): a command that needs our consumer group. Makes the group when there
-- is none; answers nil when there is no such key.
--
-- Nobody reads by this group: it exists for two commands that tell something of a stream without
-- handing over its entries (there.lua, newest.lua). XGROUP CREATE needs memory, so XDEL, which
-- does not, comes before it: a script that has written once may go on.

local function grouped(key, command, ...)
  if redis.call('EXISTS', key) == 0 then return nil end
  local r = redis.pcall(command, ...)
  if type(r) ~= 'table' or not r.err then return r end
  if not r.err:find('NOGROUP', 1, true) then error(r.err) end
  redis.call('XDEL', key, '0-1')
  redis.call('XGROUP', 'CREATE', key, 'purgeline', '0')
  return redis.call(command, ...)
end
