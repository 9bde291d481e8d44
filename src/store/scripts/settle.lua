-- Ends any jobs whose entries are not large; each entry is looked up.
-- KEYS stream, receipt prefix, postponed, postponed:jobs, places, dead, history.
-- ARGV lane, channel, ttl_s, history (write_entry.lua), wall_ms, then per item: id, outcome,
-- receipt (0|1), targets, due_ms, reason, target (of a purged job: what looks at its pages found,
-- as JSON members of the receipt), services (of a dead job: the ids of those that failed, separated
-- by spaces; empty: all), purge (what the daemon knows, for the history; else who pushed the job).
-- Answers ended, receipts left out, jobs left out of the history.
-- Errors: a key of the wrong type. The items before the one that failed are done.
--
-- A job that continues another (field `job`, only written when a job comes back from `postponed`)
-- ends under the other job's id. A repeat is a job of its own, "<id>+r", so that each job has one
-- receipt. A `repeat_after` of 0 means no repeat; it is checked because 0 is true in Lua. With
-- `auto`, due_ms says when.
--
-- A postponed job is cmsgpack {lane, job, entry id, fields} under the job's id, or, if that is
-- taken (somebody wrote a `job` field by hand), under "<id>@<lane>-<entry id>". The entries are
-- removed together at the end, which costs Redis half as much. If an item fails, the entries before
-- it are removed and the failure is returned, so that repeating the call moves nothing twice.

--@include shared/receipt.lua
--@include shared/scope.lua
--@include shared/purge_of.lua

local published, done, over = {}, {}, {}
-- Fails now if the key is not a hash; later, a failure would leave the work half done.
call('HLEN', KEYS[5])
local function look(fields, own, due)
  local job, ref, again = own, nil, nil
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'ref' then ref = value
    elseif name == 'repeat_after' and value:find('^%d+$') then
      again = tonumber(value)
      if again == 0 then again = nil end
    elseif name == 'repeat_after' and value == 'auto' then
      again = due == '0' and 2000 or 1
    elseif name == 'job' and #value <= 128 and not value:find('[^%w+-]') and
      value ~= '' then
      job = value
    end
  end
  return job, ref, again
end
local function postpone(fields, id, job, due, once)
  local kept, name = {}, job
  for i = 1, #fields, 2 do
    local field = fields[i]
    if field ~= 'job' and
      not (once and (field == 'repeat_after' or field == 'not_before' or
        field == 'when')) then
      kept[#kept + 1] = field
      kept[#kept + 1] = fields[i + 1]
    end
  end
  if once then kept[#kept + 1] = 'not_before'; kept[#kept + 1] = due end
  if call('ZSCORE', KEYS[3], name) then name = job .. '@' .. lane .. '-' .. id end
  call('HSET', KEYS[4], name, cmsgpack.pack({lane, job, id, kept}))
  call('ZADD', KEYS[3], due, name)
end
local function bury(fields, job, reason, target, services)
  local copy = {}
  for i = 1, #fields, 2 do
    if services == '' or fields[i] ~= 'service' then
      copy[#copy + 1] = fields[i]
      copy[#copy + 1] = fields[i + 1]
    end
  end
  for id in services:gmatch('%S+') do
    copy[#copy + 1] = 'service'
    copy[#copy + 1] = id
  end
  local n = #copy
  copy[n + 1], copy[n + 2] = 'dead_reason', reason
  copy[n + 3], copy[n + 4] = 'dead_job', job
  copy[n + 5], copy[n + 6] = 'dead_at', now
  copy[n + 7], copy[n + 8] = 'dead_target', target
  call('XADD', KEYS[6], '*', unpack(copy))
end
local function finish(i)
  local id, state, due = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  local entry = call('XRANGE', KEYS[1], id, id)[1]
  if not entry or over[id] then return end
  local fields, own = entry[2], lane .. '-' .. id
  local job, ref, again = look(fields, own, due)
  if state == 'dead' then bury(fields, job, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7])
  elseif state == 'later' then postpone(fields, id, job, due, false)
  elseif state == 'purged' and again then
    if due == '0' then due = int(tonumber(ARGV[5]) + again) end
    postpone(fields, id, job .. '+r', due, true)
  end
  unplace(job, own)
  done[#done + 1], over[id] = id, true
  if state == 'later' then return end
  published[#published + 1] = job
  local wanted = ARGV[i + 2] == '1'
  if wanted or past then
    local purge = past and purge_of(fields, ARGV[i + 8]) or by_member(fields)
    receipt(wanted, purge, job, state, ARGV[i + 3], ref, ARGV[i + 5], scope_of(fields),
      state == 'purged' and ARGV[i + 6], ARGV[i + 7])
  end
end
local ok, err = true, nil
for i = 6, #ARGV, 9 do
  ok, err = pcall(finish, i)
  if not ok then break end
end
if #done > 0 then call('XDEL', KEYS[1], unpack(done)) end
if #published > 0 then call('PUBLISH', ARGV[2], table.concat(published, ' ')) end
left_out()
if not ok then return type(err) == 'table' and err or redis.error_reply(err) end
return {#done, skipped, unrecorded}
