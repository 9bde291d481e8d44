-- The last step of a large job's end. Its dead letter has already been written, or the postponed
-- job is in postponed:jobs under `name`.
-- KEYS the same as those of settle.lua.
-- ARGV lane, channel, ttl_s, history, id, outcome, receipt (0|1), targets, reason, job, has_ref
-- (0|1), ref, name, due_ms, proof (JSON members of the receipt, or empty), services that failed (or
-- empty), purge (what the daemon knows, for the history).
-- Answers ended, receipts left out, jobs left out of the history.
-- Errors: a key of the wrong type; the entry still exists then.
--
-- The first three commands check the types of the keys, so that nothing can fail after the entry
-- has been removed.

--@include shared/receipt.lua

call('ZCARD', KEYS[3])
call('HLEN', KEYS[4])
call('HLEN', KEYS[5])
local id, state, job, name = ARGV[5], ARGV[6], ARGV[10], ARGV[13]
local own = lane .. '-' .. id
if call('XDEL', KEYS[1], id) == 0 then
  if name ~= '' and not call('ZSCORE', KEYS[3], name) then call('HDEL', KEYS[4], name) end
  return {0, 0, 0}
end
if name ~= '' then call('ZADD', KEYS[3], ARGV[14], name) end
unplace(job, own)
if state ~= 'later' then
  call('PUBLISH', ARGV[2], job)
  receipt(ARGV[7] == '1', ARGV[17], job, state, ARGV[8], ARGV[11] == '1' and ARGV[12] or nil,
    ARGV[9], '["large"]', ARGV[15], ARGV[16])
end
return {1, left_out()}
