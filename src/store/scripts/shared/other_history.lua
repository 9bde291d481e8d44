-- other_history(old): true if what was noted under the history `old` may not be the last that was
-- written.

--@include shared/history.lua

local function other_history(old)
  local present = history()
  return old and old ~= '' and present ~= '' and old ~= present
end
