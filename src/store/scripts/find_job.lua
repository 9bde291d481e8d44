-- Finds where a job is.
-- A question, although it removes a note about a job that is gone.
-- KEYS receipt postponed places later urgent normal bulk history.
-- ARGV job, home (its lane, 1 to 3; 0 for a repeat, which never was in a lane under its own id),
-- entry id, from (where to go on in the history, or '').
-- Answers one of: ended and its receipt (with `purge_id`, if the history has it), postponed, lane
-- with its number and the entry id, more and from where to go on, unsure, unknown.
-- Errors: a key of the wrong type. Never OOM.

--@include shared/there.lua
--@include shared/receipt_of.lua
--@include shared/purge_id.lua

local call, job, home = redis.call, ARGV[1], tonumber(ARGV[2])
local function ended(receipt)
  local id = purge_id(KEYS[8], receipt, job)
  if id then receipt = receipt:sub(1, -2) .. ',"purge_id":"' .. id .. '"}' end
  return {'ended', receipt}
end
local receipt = call('GET', KEYS[1])
if receipt then return ended(receipt) end
if call('ZSCORE', KEYS[2], job) then return {'postponed'} end
local place = call('HGET', KEYS[3], job)
if place then
  local lane, id = place:match('^(%a+)-(%d+%-%d+)$')
  local k = ({urgent = 1, normal = 2, bulk = 3})[lane]
  if k and there(KEYS[4 + k], id) then return {'lane', k, id} end
  call('HDEL', KEYS[3], job)
end
if home > 0 and there(KEYS[4 + home], ARGV[3]) then return {'lane', home, ARGV[3]} end
local told, from = receipt_in_history(KEYS[8], job, ARGV[4], 16)
if told then return ended(told) end
if from then return {'more', from} end
return {call('EXISTS', KEYS[4]) == 1 and 'unsure' or 'unknown'}
