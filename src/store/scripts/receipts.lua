-- Looks up receipts that are lines of the history.
-- A question.
-- KEYS history.
-- ARGV jobs.
-- Answers for each its receipt, or nil.
-- Errors: a key of the wrong type.

--@include shared/receipt_of.lua

local out = {}
for i = 1, #ARGV do
  local from = ''
  for _ = 1, 4 do
    out[i], from = receipt_in_history(KEYS[1], ARGV[i], from, 4)
    if out[i] or not from then break end
  end
  out[i] = out[i] or false
end
return out
