-- Answers the receipt of a job that has ended, so that it can be waited for on the replicas.
-- KEYS receipt.
-- Answers the receipt, or nil.
-- Errors: a key of the wrong type.

--@include shared/pass_on.lua

local receipt = redis.call('GET', KEYS[1])
pass_on(KEYS[1])
return receipt
