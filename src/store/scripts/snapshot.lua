-- Tells everything about the state of an account that its status shows, in one answer.
-- A question.
-- KEYS the three lanes, postponed, dead, lease, control, status, later (of version 0.1.0),
-- instances, budget, consumers.
-- Answers the lengths of the lanes, the ages of their oldest entries (-1: unknown), how many are
-- postponed, when the next of them is due, dead letters, the lease ('' = none) and for how long it
-- holds (ms), control, status, the time (ms), the instances with their scores, the open units of
-- the ledgers, the consumers (sorted), and of the newest dead letter: id, reason, job, when, target
-- (only the first 2,000 bytes of each; nothing if the letters may be large).
-- Errors: a key of the wrong type.

--@include shared/backlog.lua

local out, now = backlog()
out[10] = redis.call('GET', KEYS[6]) or ''
out[11] = redis.call('PTTL', KEYS[6])
out[12] = redis.call('HMGET', KEYS[7], 'paused', 'why', 'by', 'at')
out[13] = redis.call('GET', KEYS[8]) or ''
out[14] = now
out[15] = redis.call('ZRANGE', KEYS[10], 0, 255, 'WITHSCORES')
out[16] = redis.call('HMGET', KEYS[11], 'purge:open', 'url:open', 'write:open')
out[17] = {}
local states, consumers = {}, redis.call('HGETALL', KEYS[12])
for i = 1, #consumers, 2 do states[#states + 1] = {consumers[i], consumers[i + 1]} end
table.sort(states, function(a, b) return a[1] < b[1] end)
for i, state in ipairs(states) do
  out[17][2 * i - 1], out[17][2 * i] = state[1], state[2]
end
out[18] = {}
if out[9] > 0 and entries_are_small(KEYS[5], out[9]) then
  local newest = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
  local letter = {newest[1], '', '', '', ''}
  local places = {dead_reason = 2, dead_job = 3, dead_at = 4, dead_target = 5}
  for i = 1, #newest[2], 2 do
    local place = places[newest[2][i]]
    if place then letter[place] = newest[2][i + 1]:sub(1, 2000) end
  end
  out[18] = letter
end
return out
