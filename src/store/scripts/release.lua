-- Gives the lease back, or withdraws an announcement.
-- KEYS lease instances.
-- ARGV owner, why: 'leaving' (the owner stops), 'moved' (to balance the instances), or ''.
-- Answers 1, or 0 if the lease is not the owner's.
-- Errors: the lease is not a string.
--
-- What is in `instances` is explained in lead.lua.

--@include shared/now.lua

local led = redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
if ARGV[2] == 'leaving' then
  for _, role in ipairs({'standby ', 'ready ', 'leader ', 'leaving '}) do
    redis.pcall('ZREM', KEYS[2], role .. ARGV[1])
  end
elseif ARGV[2] == 'moved' and led == 1 then
  redis.pcall('ZADD', KEYS[2], int(now_ms()), 'moved')
end
return led
