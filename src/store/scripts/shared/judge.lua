-- judge(old, same): compares an existing mark with a request. Returns what the client is to be
-- told, or nil if there is no mark. A mark is "<digest of the request> <job>".

local function judge(old, same)
  if not old then return nil end
  local was, job = old:match('^(%S+) (%S+)$')
  return {was == same and 'repeated' or 'conflict', job}
end
