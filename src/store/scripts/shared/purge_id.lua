-- purge_id(history, receipt, job): the id that Fastly gave to the purge of the job that has this
-- receipt (core/history_line.h); nil if it is not known.
--
-- The line of the history was written together with the receipt. So its entry is the first one, or
-- one of the next few, whose id has the time `at` of the receipt. If Redis' clock was set back, the
-- ids of entries run ahead of it, and the line is not found.

local function id_in_line(line)
  local purge = line:find(',"purge":{', 1, true)
  local id = purge and line:match('"id":"([^"\\]+)"', purge)
  if id and #id <= 64 and not id:find('[^ -~]') then return id end
end
local function line_in(entry, job)
  local head = '{"job":"' .. job .. '","state":"purged"'
  for i = 1, #entry[2] - 1, 2 do
    local text = entry[2][i] == 'jobs' and entry[2][i + 1] or ''
    local from = text:find(head, 1, true)
    if from and (from == 1 or text:byte(from - 1) == 10) then return text:match('^[^\n]*', from) end
  end
end
local function purge_id(history, receipt, job)
  local at = receipt:match('"state":"purged","at":(%d+)')
  if not at or #at > 14 then return nil end
  local from, to = at, string.format('%.0f', tonumber(at) + 1000)
  for _ = 1, 8 do
    local entries = redis.pcall('XRANGE', history, from, to, 'COUNT', 1)
    if entries.err or not entries[1] then return nil end
    local line = line_in(entries[1], job)
    if line then return id_in_line(line) end
    from = '(' .. entries[1][1]
  end
  return nil
end
