-- age_of_oldest(key, length, now): the age of a stream's oldest entry in ms; 0 if there is none, -1
-- if the entries are too large to look. entries_are_small(key, length): whether a script may look
-- at the first or the last entry.
--
-- The id of the oldest entry tells its age, but XRANGE returns the whole entry, and an entry with
-- 10,000 long URLs would keep Redis busy for a second. MEMORY USAGE multiplies the size of the
-- stream's first node (at most 100 entries) by the number of nodes, and so tells how large the
-- oldest entry can be.

local function entries_are_small(key, length)
  local most = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 1)
  if length > 200 then most = most * 200 / length end
  return most <= 1048576
end
local function age_of_oldest(key, length, now)
  if length == 0 then return 0 end
  if not entries_are_small(key, length) then return -1 end
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  return math.max(0, now - tonumber(first[1]:match('^%d+')))
end
