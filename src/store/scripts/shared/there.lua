-- there(key, id): true if an entry with exactly this id is in the stream. Redis reads 1-02 as 1-2,
-- but returns the id of the entry itself.
--
-- XRANGE would return the whole entry, which can have 80 MB. XCLAIM with FORCE returns only the ids
-- of entries that exist; XACK empties the list of claims again.
-- https://redis.io/docs/latest/commands/xclaim/

--@include shared/grouped.lua

local function there(key, id)
  local r = grouped(key, 'XCLAIM', key, 'purgeline', 'look', 0, id, 'FORCE', 'JUSTID')
  if not r or #r == 0 then return false end
  redis.call('XACK', key, 'purgeline', id)
  return r[1] == id
end
