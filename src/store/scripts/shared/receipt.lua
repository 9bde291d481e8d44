-- For scripts that end jobs.
-- KEYS[1] stream, KEYS[2] receipt prefix, KEYS[5] places, KEYS[7] history.
-- ARGV[1] lane, ARGV[3] ttl_s, ARGV[4] history (write_entry.lua).
--
-- receipt(wanted, purge, job, state, targets, ref, reason, scope[, proof[, services]]): writes the
-- receipt, if it is wanted, or counts it in `skipped` when Redis is out of memory (see purged.lua);
-- and the job's line of the history, which may be its receipt. purge: what the history says of the
-- purge, as JSON members; without a history only who pushed the job, if that is known.
-- proof: more members of the receipt, as JSON. services: the ids of those that a job for several
-- failed for, separated by spaces.
-- left_out(): how many receipts and lines were left out. Writes the last entry of the history.
-- unplace(job, own): removes a job from the index of places if it is noted there as entry `own`.

--@include shared/now.lua
--@include shared/quote.lua
--@include shared/record.lua
--@include shared/place_in_time.lua
--@include shared/by_of.lua

local call, lane, skipped, unrecorded = redis.call, ARGV[1], 0, 0
local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')
local oom = type(probe) == 'table' and probe.err and
  probe.err:find('OOM', 1, true)
call('XDEL', KEYS[1], '0-1')
local now = int(now_ms())
local past = keeps(ARGV[4])
local lines, lines_bytes, spans, in_lines = {}, 0, {}, 0
local function ranges_of()
  local out = {}
  for second, r in pairs(spans) do
    out[#out + 1], out[#out + 2], out[#out + 3] = second, int(r.last), r.from
  end
  return out
end
local function left_out()
  if #lines > 0 then
    local text = table.concat(lines, '\n') .. '\n'
    local out = record(KEYS[7], past, #lines, text, false, ranges_of(), ARGV[3])
    unrecorded = unrecorded + out
    if out > 0 then skipped = skipped + in_lines end
  end
  lines, lines_bytes, spans, in_lines = {}, 0, {}, 0
  return skipped, unrecorded
end
local function add_line(text, job, second, score)
  if lines_bytes + #text > 65536 then left_out() end
  lines[#lines + 1], lines_bytes = text, lines_bytes + #text
  if not second then return end
  in_lines = in_lines + 1
  local r = spans[second] or {first = score, last = score, from = job:match('%d+%-%d+')}
  if score < r.first then r.first, r.from = score, job:match('%d+%-%d+') end
  r.last = math.max(r.last, score)
  spans[second] = r
end
local function receipt(wanted, purge, job, state, targets, ref, reason, scope, proof, services)
  if oom then
    if wanted then skipped = skipped + 1 end
    if past then unrecorded = unrecorded + 1 end
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
  local second, score
  if wanted and past and past.inside then second, score = place_in_time(job) end
  if wanted and not second then
    local by = by_of(purge)
    by = by and ',"by":' .. by or ''
    call('SETEX', KEYS[2] .. job, ARGV[3], head .. ',"at":' .. now .. count .. text .. by .. '}')
  end
  if past then
    if targets == '1' then count = '' end
    add_line(head .. count .. text .. ',"purge":{' .. purge .. '}}', job, second, score)
  end
end
local function unplace(job, own)
  if job ~= own and call('HGET', KEYS[5], job) == own then
    call('HDEL', KEYS[5], job)
  end
end
