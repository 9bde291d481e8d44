-- Finds keys of the wrong type, and values that are not numbers.
-- A question.
-- KEYS in the order of queue_examined_keys.
-- Answers for each fault the key and what is wrong with it.
-- Errors: none. Keys that the user is not permitted to look at are skipped.
--
-- An entry id beyond 2^48 is only looked for if it can be found without reading other entries; an
-- empty stream remembers its last id.

local kinds = {'stream', 'stream', 'stream', 'stream', 'zset', 'string', 'hash', 'stream',
  'stream', 'stream', 'hash', 'list', 'zset', 'hash', 'hash', 'hash', 'stream'}
local out, call, is = {}, redis.pcall, {}
local function fault(i, what) out[#out + 1] = KEYS[i]; out[#out + 1] = what end
for i = 1, #kinds do
  is[i] = call('TYPE', KEYS[i]).ok or 'none'
  if is[i] ~= 'none' and is[i] ~= kinds[i] then
    fault(i, 'holds a ' .. is[i] .. ' where a ' .. kinds[i] .. ' belongs')
    is[i] = 'none'
  end
end
local function last_id(key)
  local info = call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
  return '0-0'
end
for i = 1, 3 do
  if is[i] == 'stream' then
    local beyond = call('XRANGE', KEYS[i], '281474976710656', '+', 'COUNT', 1)
    if #beyond > 0 or (call('XLEN', KEYS[i]) == 0 and
      tonumber(last_id(KEYS[i]):match('^%d+')) >= 281474976710656) then
      fault(i, 'has an entry id beyond any clock: all its later jobs are malformed')
    end
  end
end
if is[6] == 'string' and call('PTTL', KEYS[6]) == -1 then
  fault(6, 'never expires: nobody can take over from its holder')
end
if is[7] == 'hash' then
  local names = {'clock', 'clock_at', 'clock_wall'}
  for _, k in ipairs({'purge', 'url', 'write'}) do
    for _, f in ipairs({'open', 'level', 'level_at', 'seq', 'booked', 'learnt', 'learnt_spent',
      'learnt_at', 'ahead'}) do
      names[#names + 1] = k .. ':' .. f
    end
  end
  local values = call('HMGET', KEYS[7], unpack(names))
  for i = 1, #names do
    if values[i] and not values[i]:find('^%d+$') then
      fault(7, 'has a field ' .. names[i] .. ' that is no number')
      break
    end
  end
end
return out
