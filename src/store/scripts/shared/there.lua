-- there(key, id): is an entry with exactly this id in the stream? Redis reads 1-02 as 1-2; what it
-- answers is the id as it is.
--
-- XRANGE would answer the whole entry, which can be 80 MB. XCLAIM with FORCE answers only the ids
-- of entries that exist; XACK empties the list of claims again.
-- https://redis.io/docs/latest/commands/xclaim/

--@include shared/grouped.lua

local function there(key, id)
  local r = grouped(key, 'XCLAIM', key, 'purgeline', 'look', 0, id, 'FORCE', 'JUSTID')
  if not r or #r == 0 then return false end
  redis.call('XACK', key, 'purgeline', id)
  return r[1] == id
end
