-- history(): the replication history that this Redis has. It is another one after each start and
-- after each failover, which may have lost the last writes of the one before. '' if Redis does not
-- tell.

local function history()
  local r = redis.pcall('INFO', 'replication')
  return type(r) == 'string' and r:match('master_replid:(%x+)') or ''
end
