-- record(key, past, jobs, ...): write_entry(), but returns how many jobs were left out: all, if a
-- key cannot be written, for a broken history must not stop the dispatch.

--@include shared/write_entry.lua

local function record(key, past, jobs, ...)
  return pcall(write_entry, key, past, jobs, ...) and 0 or jobs
end
