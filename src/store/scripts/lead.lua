-- Takes or renews the lease, reads control, publishes the status, announces the caller.
-- KEYS lease control status budget cancelled instances.
-- ARGV owner, ttl_ms, usurp (an owner that may be replaced, or ''), status ('': none), clock,
-- wall, told, digest, frail (1: writes may be lost), waited,
-- led_in (the history in which the owner led last, or ''), role (what is announced; '': nothing),
-- may_take (1: an absent lease, although there are other instances), next (whom the leader will
-- hand the account to, or ''), holds (1: the caller counts on the lease if it is its own).
-- Answers leading, taken over, holder, its remaining ms (-1: never expires), paused, why, names of
-- cancelled jobs, their digest, the present history, whether the lease is withheld because of it,
-- the roles and names of the other instances, whether the account is to be handed to the caller,
-- how long ago it was last moved to balance the instances (-1: not lately).
-- Errors: a key of the wrong type. Never OOM.
--
-- PEXPIRE comes first: it renews the lease, and it is the write that lets the other commands
-- succeed without free memory. If there is no lease, HDEL is that write.
--
-- Names of cancelled jobs stay on their list until the leader confirms that it has them, because an
-- answer can be lost and the leader can die. It confirms the first `told` names; their digest shows
-- that they are still the same names.
--
-- After a failover, a lease that was taken in the last moments may be lost, while its holder still
-- counts on it. So who finds that the history is not the one in which the lease was last held gets
-- it only after it has `waited` for the length of a lease in the present one. And who has given the
-- lease back, and finds it under its own name after a failover, must not go on with it: another
-- instance may have taken it since. So such a lease counts as lost, too.

-- Instances announce themselves in a sorted set: the member is "<role> <owner>", the score is the
-- time of Redis. Two more members are "next <owner>" and "moved". Whoever finds an old member
-- removes it.

--@include shared/now.lua
--@include shared/other_history.lua

local now, me, ours, next, moved, awake = now_ms(), ARGV[1], false, '', -1, 0
local others, old = {}, {}
local listed = redis.pcall('ZRANGE', KEYS[6], 0, 255, 'WITHSCORES')
for i = 1, #listed, 2 do
  local role, who = listed[i]:match('^(%S+) ?(%S*)$')
  local age = math.abs(now - tonumber(listed[i + 1]))
  local fresh = age <= (role == 'moved' and 60000 or role == 'next' and 10000 or 5000)
  if not (role and fresh) or (who == me and role ~= 'next' and role ~= ARGV[12]) then
    old[#old + 1] = listed[i]
  elseif role == 'moved' then
    moved = math.floor(age)
  elseif role == 'next' then
    next = who
  elseif who == me then
    ours = age < 2000
  else
    others[#others + 1], others[#others + 2] = role, who
    if role ~= 'leaving' then awake = awake + 1 end
  end
end
local may_take = ARGV[13] == '1' or awake == 0 or next == me

local holder, taken, withheld = redis.call('GET', KEYS[1]) or '', 0, 0
local held_in = redis.pcall('HGET', KEYS[4], 'lease_history')
if type(held_in) ~= 'string' then held_in = nil end
local present = history()
if holder == me and ARGV[15] ~= '1' and other_history(held_in or ARGV[11]) then
  redis.call('DEL', KEYS[1])
  holder = ''
end
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif holder ~= '' and (ARGV[3] == '' or holder ~= ARGV[3]) then
  taken = 0
elseif other_history(held_in or ARGV[11]) and present ~= ARGV[10] then
  withheld = 1
elseif may_take then
  redis.call('HDEL', KEYS[2], '')
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  holder, taken = ARGV[1], 1
end
local leading = holder == ARGV[1] and 1 or 0
if leading == 1 and next ~= '' and next ~= ARGV[14] then old[#old + 1] = 'next ' .. next end
local new = {}
if leading == 1 and ARGV[14] ~= '' then new[#new + 1] = 'next ' .. ARGV[14] end
if ARGV[12] ~= '' and not ours then new[#new + 1] = ARGV[12] .. ' ' .. me end
if #old + #new > 0 then
  redis.pcall('PEXPIRE', KEYS[6], 60000)
  for _, member in ipairs(old) do redis.pcall('ZREM', KEYS[6], member) end
  for _, member in ipairs(new) do redis.pcall('ZADD', KEYS[6], int(now), member) end
  redis.pcall('PEXPIRE', KEYS[6], 60000)
end
if leading == 1 and ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4], 'EX', 5) end
if leading == 1 and taken == 0 and ARGV[5] ~= '0' then
  redis.call('HSET', KEYS[4], 'clock', ARGV[5], 'clock_at', int(now), 'clock_wall',
    ARGV[6])
end
if leading == 1 and ARGV[9] == '1' then
  if held_in ~= present then redis.call('HSET', KEYS[4], 'lease_history', present) end
elseif leading == 1 and held_in then
  redis.call('HDEL', KEYS[4], 'lease_history')
end
local c = redis.call('HMGET', KEYS[2], 'paused', 'why')
local function names(n) return redis.call('LRANGE', KEYS[5], 0, n - 1) end
local function digest(list) return redis.sha1hex(table.concat(list, ' ')) end
local gone, told = {}, tonumber(ARGV[7])
if leading == 1 then
  if told > 0 and digest(names(told)) == ARGV[8] then
    redis.call('LTRIM', KEYS[5], told, -1)
  end
  gone = names(64)
end
return {leading, taken, holder, redis.call('PTTL', KEYS[1]),
  c[1] == '1' and 1 or 0, c[2] or '', gone, digest(gone), present, withheld, others,
  next == me and 1 or 0, moved}
