-- newest(key): returns the newest id that a stream ever had.
--
-- XINFO STREAM would also return the first and the last entry, whatever their size. A group that is
-- set to the end of the stream tells the id of that end.

--@include shared/grouped.lua

local function newest(key)
  if not grouped(key, 'XGROUP', 'SETID', key, 'purgeline', '$') then return '0-0' end
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local fields = {}
    for k = 1, #g, 2 do fields[g[k]] = g[k + 1] end
    if fields.name == 'purgeline' then return fields['last-delivered-id'] end
  end
  return '0-0'
end
