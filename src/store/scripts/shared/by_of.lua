-- by_of(purge): who pushed the job, by the members of `purge` in its line of the history
-- (core/history_line.h), as the JSON text that stands there; or nil. What is found is the member: a
-- quotation mark inside of a text has a backslash before it.

local function by_of(purge)
  local _, from = purge:find('"by":"', 1, true)
  local i = from and from + 1
  while i do
    i = purge:find('["\\]', i)
    if i and purge:byte(i) == 34 then return purge:sub(from, i) end
    i = i and i + 2
  end
end
