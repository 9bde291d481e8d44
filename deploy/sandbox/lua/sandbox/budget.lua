-- The account's purge budget as Fastly would count it: units in a sliding window.
--
-- The window is a queue of bins, each per_s / 3600 wide (at least 1 ms: the clock's step).
--
--      newest                                            oldest
--      [i 3] [i-1 7] [i-4 1] …                   [i-3600 2] ] [i-3601 …  dropped
--
-- A request in bin i is judged with all of i-3600 … i. The oldest of these 3601 bins lies at
-- least partly inside the window, so the count is never too low, and at most one bin too high.
-- Time is read under the lock and never goes back, so bins are only ever added at one end.
--
-- purge_all draws on another budget, general writes, counted by the clock hour:
-- https://www.fastly.com/documentation/reference/api/#rate-limiting

local state = require "sandbox.state"

local M = {}
local dict = ngx.shared.sandbox
local BINS = 3600

-- Holders never yield, so this only ever spins against another worker, for microseconds.
local function locked(action, ...)
    while not dict:add("lock", true, 5) do end
    local ok, a, b = pcall(action, ...)
    dict:delete("lock")
    if not ok then error(a, 0) end
    return a, b
end

local function drop_older_than(bin)
    while true do
        local entry = dict:rpop("bins")
        if not entry then return end
        local at, units = entry:match("^(%d+) (%d+)$")
        if tonumber(at) >= bin then
            dict:rpush("bins", entry)
            return
        end
        dict:incr("spent", -tonumber(units))
    end
end

local function add_to(bin, units)
    local entry = dict:lpop("bins")
    local in_bin = units
    if entry then
        local at, had = entry:match("^(%d+) (%d+)$")
        if tonumber(at) == bin then
            in_bin = in_bin + tonumber(had)
        else
            dict:lpush("bins", entry)
        end
    end
    dict:lpush("bins", string.format("%.0f %d", bin, in_bin))
    dict:incr("spent", units, 0)
end

local function clock(per_s)
    ngx.update_time()
    local width = math.max(per_s / BINS, 0.001)
    local now = ngx.now()
    local bin = math.floor(now / width)
    drop_older_than(bin - math.ceil(per_s / width))
    return now, bin
end

local function spend(units, force)
    local now, bin = clock(state.get("per_s"))
    local limit = state.get("budget")
    if not force and limit > 0 and (dict:get("spent") or 0) + units > limit then
        dict:incr("refused", units, 0)
        return now, false
    end
    add_to(bin, units)
    return now, true
end

-- The moment that counts, and whether the budget had room for `units` more.
function M.spend(units)
    return locked(spend, units, false)
end

-- Somebody else of the same customer spends: nobody asks whether there is room.
function M.foreign(units)
    locked(spend, units, true)
end

function M.forget()
    locked(function()
        dict:delete("bins")
        dict:delete("spent")
    end)
end

-- One write. Returns ok, what remains of the hour, and when the next one begins.
function M.write()
    local hour = math.floor(ngx.time() / 3600)
    local used = dict:incr("writes:" .. hour, 1, 0)
    local remaining = state.get("writes") - used
    return remaining >= 0, math.max(0, remaining), (hour + 1) * 3600
end

function M.describe()
    locked(function() return clock(state.get("per_s")) end)
    local limit, spent = state.get("budget"), dict:get("spent") or 0
    return { limit = limit, per_s = state.get("per_s"), cost = state.get("cost"), spent = spent,
             left = limit > 0 and math.max(0, limit - spent) or nil,
             refused = dict:get("refused") or 0,
             writes_used = dict:get("writes:" .. math.floor(ngx.time() / 3600)) or 0 }
end

return M
