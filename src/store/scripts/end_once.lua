-- After the XADD of a large job that is to be made once: is it the first? If not, it is removed.
-- KEYS stream once note.
-- ARGV same, ttl_s, lane.
-- Answers as put_once.lua does.
-- Errors: the newest entry is not ours, so the job was not added; a key of the wrong type.
--
-- The newest entry is ours if nothing else happened to the stream: the XADD may have been refused,
-- and when Redis does not permit MULTI all of this is carried out all the same, among the commands
-- of others. XDEL comes first: it needs no memory, and after it the script may go on when there is
-- none.

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
