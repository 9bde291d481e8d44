-- Checks whether the lanes can be read.
-- KEYS urgent normal bulk.
-- Answers per lane its length, or the error.
-- Errors: none.

local out = {}
for i = 1, 3 do
  local r = redis.pcall('XLEN', KEYS[i])
  out[i] = type(r) == 'table' and r.err or r
end
return out
