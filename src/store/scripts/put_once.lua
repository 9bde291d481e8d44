-- Adds a small job with an idempotency key and its mark, unless the mark exists.
-- KEYS stream once.
-- ARGV same, ttl_s, lane, field, value, field, value ...
-- Answers "new" and the job; if the mark exists, "repeated" or "conflict" and its job.
-- Errors: a key of the wrong type; OOM.

--@include shared/judge.lua
--@include shared/pass_on.lua

local told = judge(redis.call('GET', KEYS[2]), ARGV[1])
if told then
  pass_on(KEYS[2])
  return told
end
local job = ARGV[3] .. '-' .. redis.call('XADD', KEYS[1], '*', unpack(ARGV, 4))
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. job, 'EX', ARGV[2])
return {'new', job}
