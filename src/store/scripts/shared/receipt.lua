-- For scripts that end jobs.
-- KEYS[1] stream, KEYS[2] receipt prefix, KEYS[5] places.
-- ARGV[1] lane, ARGV[3] ttl_s.
--
-- receipt(job, state, targets, ref, reason, scope[, proof[, services]]): writes the receipt, or
-- counts it in `skipped` when Redis is out of memory (see purged.lua). proof: more members, as
-- JSON.
-- services: the ids of those that a job for several failed for, separated by spaces.
-- unplace(job, own): removes a job from the index of places if it is noted there as entry `own`.

--@include shared/now.lua
--@include shared/quote.lua

local call, lane, skipped = redis.call, ARGV[1], 0
local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')
local oom = type(probe) == 'table' and probe.err and
  probe.err:find('OOM', 1, true)
call('XDEL', KEYS[1], '0-1')
local now = int(now_ms())
local function receipt(job, state, targets, ref, reason, scope, proof, services)
  if oom then skipped = skipped + 1; return end
  local text = '{"job":' .. quote(job) .. ',"state":"' .. state ..
    '","at":' .. now .. ',"targets":' .. targets
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
  call('SETEX', KEYS[2] .. job, ARGV[3], text .. '}')
end
local function unplace(job, own)
  if job ~= own and call('HGET', KEYS[5], job) == own then
    call('HDEL', KEYS[5], job)
  end
end
