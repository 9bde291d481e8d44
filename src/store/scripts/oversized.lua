-- Ends an entry that is too large to look at: it becomes a dead letter.
-- KEYS the same as those of settle.lua.
-- ARGV lane, channel, ttl_s, history, id, receipt (0|1), reason, then the fields that the letter
-- keeps.
-- Answers ended, receipts left out, jobs left out of the history.
-- Errors: a key of the wrong type; nothing has changed then.
--
-- Converting the entry into Lua strings would take long. So the letter is written first, and
-- removed if it turns out that there was no such entry.

--@include shared/receipt.lua
--@include shared/pusher_of.lua

local id, reason = ARGV[5], ARGV[7]
local job, ref, letter = lane .. '-' .. id, nil, {}
-- Fails now if the key is not a hash; later, a failure would leave the work half done.
call('HLEN', KEYS[5])
for i = 8, #ARGV - 1, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  letter[#letter + 1] = name
  letter[#letter + 1] = value
  if name == 'ref' then ref = value
  elseif name == 'job' and #value <= 128 and not value:find('[^%w+-]') and value ~= '' then
    job = value
  end
end
local n, purge = #letter, by_member(letter)
letter[n + 1], letter[n + 2] = 'dead_reason', reason
letter[n + 3], letter[n + 4] = 'dead_job', job
letter[n + 5], letter[n + 6] = 'dead_at', now
letter[n + 7], letter[n + 8] = 'dead_target', ''
local written = call('XADD', KEYS[6], '*', unpack(letter))
if call('XDEL', KEYS[1], id) == 0 then
  call('XDEL', KEYS[6], written)
  return {0, 0, 0}
end
unplace(job, lane .. '-' .. id)
call('PUBLISH', ARGV[2], job)
receipt(ARGV[6] == '1', purge, job, 'dead', '0', ref, reason, '["large"]')
return {1, left_out()}
