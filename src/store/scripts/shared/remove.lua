-- remove(key, from, to, front): removes the entries whose ids are ARGV[from] to ARGV[to]. Returns
-- how many of them there were. `front`: they are probably the first entries of the stream, in this
-- order, and no entry up to the last of them is large (scripts.h).
--
-- For each id, XDEL walks through a node of the stream (100 entries, unless Redis is told
-- otherwise), past what was deleted before. XTRIM frees whole nodes, but it removes whatever is at
-- the front: also entries that nobody has read, for example if the stream was deleted and begun
-- again with lower ids, or if a failover brought an older one back. So the front is read first. As
-- long as the next entry of the stream is the next of the ids, what was read are the first n
-- entries of the stream, and they are ours. XTRIM to a length that is lower by n removes exactly
-- these n, because no other command comes between those of a script. The other ids are left to
-- XDEL.
--
-- Reading pays while entries are short: a node has few long ones, and fields have to be converted.
-- The first entry is read alone, since it mostly tells whether this is the front.

local function remove(key, from, to, front)
  local call, ids, at, most, start, n = redis.call, ARGV, from, 1, '-', 0
  while front and at <= to do
    local want, before = math.min(most, to - at + 1), at - 1
    local found = call('XRANGE', key, start, ids[to], 'COUNT', want)
    local same = #found
    for i = 1, same do
      if found[i][1] ~= ids[before + i] then same = i - 1; break end
    end
    at = at + same
    if same < want then break end
    local fields = found[same][2]
    if #fields > 2 or #fields[2] > 100 then break end
    most, start = most == 1 and 15 or 256, '(' .. ids[at - 1]
  end
  if at > from then n = call('XTRIM', key, 'MAXLEN', call('XLEN', key) - (at - from)) end
  if at <= to then n = n + call('XDEL', key, unpack(ids, at, to)) end
  return n
end
