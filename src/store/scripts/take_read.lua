-- Counts a request that reads Fastly's API, unless one of its limits forbids it.
-- KEYS reads.
-- ARGV for each limit that it counts against: its name, how many requests, in how many ms, for how
-- many ms a 429 holds at most.
-- Answers 1 if it is counted; otherwise 0, the name of the limit that forbids it, for how many ms,
-- and 1 if Fastly has answered 429, 0 if our count is full.
-- Errors: a key of the wrong type.
--
-- For each limit, the hash has what was sent ("<ms> <count>", for each sixtieth of the window),
-- <name>:until (ms, after a 429), <name>:total and <name>:refused (since ever).

--@include shared/reads.lua

local call, key = redis.call, KEYS[1]
call('HDEL', key, '')
local function add(field)
  local n = tonumber(call('HGET', key, field) or '') or 0
  call('HSET', key, field, int(math.min(math.max(n, 0), 1e15) + 1))
end
local function wait(list, sum, most, window)
  local over = sum + 1 - most
  if over <= 0 then return 0 end
  for _, part in ipairs(list) do
    over = over - part.n
    if over <= 0 then return part.at + window / 60 + window - now end
  end
  return window
end
local function put(name, list)
  local words = {}
  for k, part in ipairs(list) do words[k] = int(part.at) .. ' ' .. int(part.n) end
  call('HSET', key, name, table.concat(words, ' '))
end
local counted = {}
for i = 1, #ARGV, 4 do
  local name, window = ARGV[i], tonumber(ARGV[i + 2])
  local list, sum = reads_of(name, window)
  local full = wait(list, sum, tonumber(ARGV[i + 1]), window)
  local held = reads_held(name, tonumber(ARGV[i + 3]))
  if full > 0 or held > 0 then
    put(name, list) -- as sent now what seemed to be sent in the future
    add(name .. ':refused')
    return {0, name, int(math.max(full, held)), held >= full and 1 or 0}
  end
  counted[i] = list
end
for i = 1, #ARGV, 4 do
  local name, list, width = ARGV[i], counted[i], tonumber(ARGV[i + 2]) / 60
  local last = list[#list]
  if last and last.at == now - now % width then
    last.n = last.n + 1
  else
    list[#list + 1] = {at = now - now % width, n = 1}
  end
  put(name, list)
  add(name .. ':total')
end
return {1}
