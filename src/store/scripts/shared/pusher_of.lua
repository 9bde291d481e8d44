-- pusher_of(fields): who pushed the job, or nil (core/job.h).
-- by_member(fields): the same as a JSON member, or ''.

--@include shared/quote.lua

local function pusher_of(fields)
  local by, other
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if value ~= '' and #value <= 256 then
      if name == 'by' then by = by or value
      elseif name == 'dead_by' then other = other or value end
    end
  end
  return by or other
end
local function by_member(fields)
  local by = pusher_of(fields)
  return by and '"by":' .. quote(by) or ''
end
