-- Answers the receipt of a job that has ended, so that it can be waited for on the replicas.
-- KEYS receipt history.
-- ARGV job, the score from which to go on in the history ('': from the beginning).
-- Answers the receipt; or a list of one score, from which to go on because no more is looked at in
-- one go; or nil.
-- Errors: a key of the wrong type.

--@include shared/pass_on.lua
--@include shared/receipt_of.lua

local receipt = redis.call('GET', KEYS[1])
pass_on(KEYS[1])
if receipt then return receipt end
local second = place_in_time(ARGV[1])
if not second then return nil end
pass_on(KEYS[2] .. ':at:' .. second)
local from
receipt, from = receipt_in_history(KEYS[2], ARGV[1], ARGV[2], 64)
return receipt or (from and {from})
