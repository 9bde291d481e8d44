-- The last step of a large job's end. Its dead letter has already been written, or the postponed
-- job is in postponed:jobs under `name`.
-- KEYS the same as those of settle.lua.
-- ARGV lane, channel, ttl_s, id, outcome, receipt (0|1), targets, reason, job, has_ref (0|1), ref,
-- name, due_ms, proof (JSON members of the receipt, or empty), services that failed (or empty).
-- Answers ended, receipts left out.
-- Errors: a key of the wrong type; the entry still exists then.
--
-- The first three commands check the types of the keys, so that nothing can fail after the entry
-- has been removed.

--@include shared/receipt.lua

call('ZCARD', KEYS[3])
call('HLEN', KEYS[4])
call('HLEN', KEYS[5])
local id, state, job, name = ARGV[4], ARGV[5], ARGV[9], ARGV[12]
local own = lane .. '-' .. id
if call('XDEL', KEYS[1], id) == 0 then
  if name ~= '' and not call('ZSCORE', KEYS[3], name) then call('HDEL', KEYS[4], name) end
  return {0, 0}
end
if name ~= '' then call('ZADD', KEYS[3], ARGV[13], name) end
unplace(job, own)
if state ~= 'later' then
  call('PUBLISH', ARGV[2], job)
  if ARGV[6] == '1' then
    receipt(job, state, ARGV[7], ARGV[10] == '1' and ARGV[11] or nil, ARGV[8],
      '["large"]', ARGV[14], ARGV[15])
  end
end
return {1, skipped}
