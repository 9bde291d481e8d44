-- For scripts that end jobs.
-- KEYS[1] stream, KEYS[2] receipt prefix, KEYS[5] places, KEYS[7] history.
-- ARGV[1] lane, ARGV[3] ttl_s, ARGV[4] history (record.lua).
--
-- receipt(wanted, purge, job, state, targets, ref, reason, scope[, proof[, services]]): writes the
-- receipt, if it is wanted, or counts it in `skipped` when Redis is out of memory (see purged.lua);
-- and the job's line of the history. purge: what the history says of the purge, as JSON members.
-- proof: more members of the receipt, as JSON. services: the ids of those that a job for several
-- failed for, separated by spaces.
-- left_out(): how many receipts and lines were left out. Writes the last entry of the history.
-- unplace(job, own): removes a job from the index of places if it is noted there as entry `own`.

--@include shared/now.lua
--@include shared/quote.lua
--@include shared/record.lua

local call, lane, skipped, unrecorded = redis.call, ARGV[1], 0, 0
local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')
local oom = type(probe) == 'table' and probe.err and
  probe.err:find('OOM', 1, true)
call('XDEL', KEYS[1], '0-1')
local now = int(now_ms())
local most, keep_s = keeps(ARGV[4])
local lines, lines_bytes = {}, 0
local function left_out()
  if #lines > 0 then
    unrecorded = unrecorded +
      record(KEYS[7], most, keep_s, #lines, table.concat(lines, '\n') .. '\n')
  end
  lines, lines_bytes = {}, 0
  return skipped, unrecorded
end
local function add_line(text)
  if lines_bytes + #text > 65536 then left_out() end
  lines[#lines + 1], lines_bytes = text, lines_bytes + #text
end
local function receipt(wanted, purge, job, state, targets, ref, reason, scope, proof, services)
  if oom then
    if wanted then skipped = skipped + 1 end
    if most then unrecorded = unrecorded + 1 end
    return
  end
  local head = '{"job":' .. quote(job) .. ',"state":"' .. state .. '"'
  local text, count = '', ',"targets":' .. targets
  if ref then text = text .. ',"ref":' .. quote(ref) end
  if reason ~= '' then
    text = text .. ',"reason":' .. quote(reason)
  end
  if ref or reason ~= '' then
    text = text .. ',"scope":' .. scope
  end
  if proof and proof ~= '' then text = text .. ',' .. proof end
  if services and services ~= '' then
    text = text .. ',"failed_services":["' .. services:gsub(' ', '","') .. '"]'
  end
  if wanted then
    call('SETEX', KEYS[2] .. job, ARGV[3], head .. ',"at":' .. now .. count .. text .. '}')
  end
  if most then
    if targets == '1' then count = '' end
    add_line(head .. count .. text .. ',"purge":{' .. purge .. '}}')
  end
end
local function unplace(job, own)
  if job ~= own and call('HGET', KEYS[5], job) == own then
    call('HDEL', KEYS[5], job)
  end
end
