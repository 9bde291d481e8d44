-- The account's purge budget, counted like Fastly does: units in a sliding window.
--
-- The window is a queue of bins, each per_s / 3600 wide (at least 1 ms: the clock's step).
--
--      newest                                            oldest
--      [i 3] [i-1 7] [i-4 1] …                   [i-3600 2] ] [i-3601 …  dropped
--
-- For a request in bin i, the bins i-3600 … i are added up. The oldest of these 3601 bins lies at
-- least partly inside the window, so the sum is never too low, and at most one bin too high.
-- Time is read under the lock and never goes back, so bins are only ever added at one end.
--
-- purge_all uses another budget, that of general writes, which is counted per clock hour:
-- https://www.fastly.com/documentation/reference/api/#rate-limiting

local state = require "sandbox.state"

local M = {}
local dict = ngx.shared.sandbox
local BINS = 3600

-- The owner of the lock never yields, so this waits only for another worker, for microseconds.
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

-- Spends `units` if the budget allows it. Returns the time for which they count, and whether they were spent.
function M.spend(units)
    return locked(spend, units, false)
end

-- Spends units for another client of the same customer, even beyond the budget.
function M.foreign(units)
    locked(spend, units, true)
end

function M.forget()
    locked(function()
        dict:delete("bins")
        dict:delete("spent")
    end)
end

-- Counts one request against a limit per clock hour, which is the setting `name`. Returns whether it is allowed,
-- how many remain in this hour, and when the next hour begins.
local function hourly(name)
    local hour = math.floor(ngx.time() / 3600)
    local used = dict:incr(name .. ":" .. hour, 1, 0)
    local remaining = state.get(name) - used
    return remaining >= 0, math.max(0, remaining), (hour + 1) * 3600
end

function M.write()
    return hourly("writes")
end

-- https://www.fastly.com/documentation/reference/api/utils/content/ : 200 requests per hour
function M.edge_check()
    return hourly("edge_checks")
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
