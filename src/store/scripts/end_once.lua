-- The step after the XADD of a large job with an idempotency key: removes the job unless it is the
-- first with this key.
-- KEYS stream once note.
-- ARGV same, ttl_s, lane.
-- Answers the same as put_once.lua.
-- Errors: the newest entry is not ours, so the job was not added; a key of the wrong type.
--
-- The newest entry is ours if nothing else happened to the stream. The XADD may have been refused;
-- and if Redis does not permit MULTI, the commands are carried out nevertheless, mixed with those
-- of other clients. XDEL comes first because it needs no memory, and after it the script may go on
-- without free memory.

--@include shared/newest.lua
--@include shared/judge.lua

redis.call('XDEL', KEYS[1], '0-1')
local note, id = redis.call('GET', KEYS[3]) or '', newest(KEYS[1])
redis.call('DEL', KEYS[3])
local last, length = note:match('^(%S+) (%d+)$')
if not last or id == last or redis.call('XLEN', KEYS[1]) ~= length + 1 then
  return redis.error_reply('ERR the job was not added to its lane')
end
local old = redis.pcall('GET', KEYS[2])
if type(old) == 'table' then
  redis.call('XDEL', KEYS[1], id)
  return old
end
local told = judge(old, ARGV[1])
if told then
  redis.call('XDEL', KEYS[1], id)
  return told
end
local job = ARGV[3] .. '-' .. id
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. job, 'EX', ARGV[2])
return {'new', job}
