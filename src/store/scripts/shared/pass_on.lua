-- pass_on(key): sets the time when the key expires to what it is. That changes nothing, but Redis
-- passes it on to its replicas. Since Redis 8, WAIT counts from the last write of its own
-- connection. So a script that answers "done" because an earlier write has done it, perhaps on
-- another connection, must write something itself.

local function pass_on(key)
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left) end
end
