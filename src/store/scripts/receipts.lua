-- Looks up receipts.
-- A question.
-- KEYS history, and those of the receipts of the same jobs, unless the caller has read these.
-- ARGV jobs; after a job and a space the score from which to go on in the history.
-- Answers for each its receipt; or a list of one score, from which to go on because no more is
-- looked at in one go; or nil.
-- Errors: a key of the wrong type.

--@include shared/receipt_of.lua

local out = {}
for i = 1, #ARGV do
  local job, from = ARGV[i]:match('^(%S*) ?(%S*)')
  if KEYS[1 + i] then out[i] = redis.call('GET', KEYS[1 + i]) end
  for _ = 1, 4 do
    if out[i] or not from then break end
    out[i], from = receipt_in_history(KEYS[1], job, from, 4)
  end
  out[i] = out[i] or (from and {from}) or false
end
return out
