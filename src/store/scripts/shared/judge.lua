-- judge(old, same): is there a mark already? Answers what the visitor is to be told, or nil. A
-- mark is "<digest of the request> <job>".

local function judge(old, same)
  if not old then return nil end
  local was, job = old:match('^(%S+) (%S+)$')
  return {was == same and 'repeated' or 'conflict', job}
end
