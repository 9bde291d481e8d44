-- Moves jobs that version 0.1.0 postponed: it kept the whole job as the member of a sorted set.
-- KEYS later, postponed, postponed:jobs, dead.
-- ARGV per member: score, name ('': not readable), another name, member.
-- Answers how many of them are left.
-- Errors: a key of the wrong type.

--@include shared/now.lua

local call = redis.call
call('HDEL', KEYS[3], '')
for i = 1, #ARGV, 4 do
  local name, member = ARGV[i + 1], ARGV[i + 3]
  if call('ZSCORE', KEYS[1], member) then
    if name == '' then
      call('XADD', KEYS[4], '*', 'later', member, 'dead_reason',
        'later: not readable: damaged, or of a newer version', 'dead_job', '',
        'dead_at', int(now_ms()), 'dead_target', '')
    else
      if call('ZSCORE', KEYS[2], name) then name = ARGV[i + 2] end
      call('HSET', KEYS[3], name, member)
      call('ZADD', KEYS[2], ARGV[i], name)
    end
    call('ZREM', KEYS[1], member)
  end
end
return call('ZCARD', KEYS[1])
