-- Looks up receipts.
-- A question.
-- KEYS history, and those of the receipts of the same jobs, unless the caller has read these.
-- ARGV jobs.
-- Answers for each its receipt, or nil.
-- Errors: a key of the wrong type.

--@include shared/receipt_of.lua

local out = {}
for i = 1, #ARGV do
  local from = ''
  if KEYS[1 + i] then out[i] = redis.call('GET', KEYS[1 + i]) end
  for _ = 1, 4 do
    if out[i] or not from then break end
    out[i], from = receipt_in_history(KEYS[1], ARGV[i], from, 4)
  end
  out[i] = out[i] or false
end
return out
