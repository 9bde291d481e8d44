-- Moves dead letters back to the lanes.
-- KEYS dead urgent normal bulk.
-- ARGV ids of letters that are not large.
-- Answers how many moved.
-- Errors: a key of the wrong type; OOM.
--
-- Each letter is written to its lane before it is removed here, so a refusal in the middle (out of
-- memory) loses nothing. Each becomes a new job with a new id, so a `job` field is left out, too;
-- dead_by, which says who pushed the job (core/job.h), is not.

local lanes = {urgent = KEYS[2], normal = KEYS[3], bulk = KEYS[4]}
local moved = 0
for _, id in ipairs(ARGV) do
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    local own, lane, by = {}, KEYS[3], nil
    for i = 1, #entry[2], 2 do
      local name, value = entry[2][i], entry[2][i + 1]
      if name == 'dead_job' then lane = lanes[value:match('^%a+')] or lane end
      if name == 'dead_by' then by = by or value end
      if name:sub(1, 5) ~= 'dead_' and name ~= 'job' then
        own[#own + 1] = name
        own[#own + 1] = value
      end
    end
    if #own > 0 then
      if by then own[#own + 1] = 'dead_by'; own[#own + 1] = by end
      redis.call('XADD', lane, '*', unpack(own))
      redis.call('XDEL', KEYS[1], id)
      moved = moved + 1
    end
  end
end
return moved
