-- there(key, id): is this entry in the stream?
--
-- XRANGE would answer the whole entry, which can be 80 MB. XCLAIM with FORCE answers only the ids
-- of entries that exist; XACK empties the list of claims again.
-- https://redis.io/docs/latest/commands/xclaim/

--@include shared/grouped.lua

local function there(key, id)
  local r = grouped(key, 'XCLAIM', key, 'purgeline', 'look', 0, id, 'FORCE', 'JUSTID')
  if not r or #r == 0 then return false end
  redis.call('XACK', key, 'purgeline', id)
  return true
end
