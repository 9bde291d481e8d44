-- purge_of(fields, more): what the history says of a job's purge, as JSON members: of its targets
-- as many as fit into 2 KiB, at most 16, and the number of the others; the services that it names;
-- and `more`, the members that the daemon knows; and who pushed it. Needs quote().

--@include shared/quote.lua
--@include shared/pusher_of.lua

local function purge_of(fields, more)
  local lists, services, left, room, rest = {keys = {}, urls = {}}, {}, 16, 2048, 0
  local out = {}
  local function add(list, target)
    if left == 0 or #target > room then rest = rest + 1; return end
    left, room = left - 1, room - #target
    list[#list + 1] = quote(target)
  end
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'url' then add(lists.urls, value)
    elseif name == 'keys' then
      for key in value:gmatch('%S+') do add(lists.keys, key) end
    elseif name == 'all' and value == '1' then out[#out + 1] = '"all":true'
    elseif name == 'soft' and value == '1' then out[#out + 1] = '"soft":true'
    elseif name == 'service' and #services < 16 then
      services[#services + 1] = quote(value:sub(1, 255))
    end
  end
  for _, name in ipairs({'keys', 'urls'}) do
    if #lists[name] > 0 then
      out[#out + 1] = '"' .. name .. '":[' .. table.concat(lists[name], ',') .. ']'
    end
  end
  if rest > 0 then out[#out + 1] = '"more":' .. rest end
  if #services > 1 then
    out[#out + 1] = '"services":[' .. table.concat(services, ',') .. ']'
  elseif services[1] and not more:find('"service":', 1, true) then
    out[#out + 1] = '"service":' .. services[1]
  end
  if more ~= '' then out[#out + 1] = more end
  local by = more:find('"by":', 1, true) and '' or by_member(fields)
  if by ~= '' then out[#out + 1] = by end
  return table.concat(out, ',')
end
