-- Cancels a job.
-- KEYS receipt postponed postponed:jobs places settled cancelled stream history.
-- ARGV job, receipt, ttl_s, lane ('' when it is postponed), entry id, history (write_entry.lua),
-- purge (what its line of the history says of the purge, as JSON members; and its receipt of it who
-- pushed the job).
-- Answers {1} if it was cancelled, {0, receipt} if it has ended, {2} if it is not there.
-- Errors: a key of the wrong type; OOM.
--
-- A script that fails in the middle is not rolled back. So each key that is written after the
-- receipt is read before the receipt is written, which fails if the key is of the wrong type; and
-- the receipt is written before the job is removed. The leader identifies jobs by their entries.

--@include shared/there.lua
--@include shared/pass_on.lua
--@include shared/write_entry.lua
--@include shared/place_in_time.lua
--@include shared/by_of.lua

local call, job, lane, id = redis.call, ARGV[1], ARGV[4], ARGV[5]
local ended = call('GET', KEYS[1])
if ended then
  pass_on(KEYS[1])
  return {0, ended}
end
if lane == '' and not call('ZSCORE', KEYS[2], job) then return {2} end
if lane ~= '' and not there(KEYS[7], id) then return {2} end
local noted
call('HLEN', KEYS[8] .. ':size')
if lane == '' then
  call('HLEN', KEYS[3])
else
  noted = call('HGET', KEYS[4], job)
  call('LRANGE', KEYS[6], 0, 0)
end
local past, second, score = keeps(ARGV[6]), nil, nil
if past and past.inside then second, score = place_in_time(job) end
if past then
  write_entry(KEYS[8], past, 1, ARGV[2]:sub(1, -2) .. ',"purge":{' .. ARGV[7] .. '}}\n', false,
    second and {second, int(score), job:match('%d+%-%d+')} or {}, ARGV[3])
end
if not second then
  local by = by_of(ARGV[7])
  by = by and ',"by":' .. by or ''
  call('SET', KEYS[1], ARGV[2]:sub(1, -2) .. by .. '}', 'EX', ARGV[3])
end
if lane == '' then
  call('ZREM', KEYS[2], job)
  call('HDEL', KEYS[3], job)
else
  local place = lane .. '-' .. id
  call('XDEL', KEYS[7], id)
  if noted == place then call('HDEL', KEYS[4], job) end
  call('RPUSH', KEYS[6], place)
  call('LTRIM', KEYS[6], -10000, -1)
  call('EXPIRE', KEYS[6], 60)
end
call('PUBLISH', KEYS[5], job)
return {1}
