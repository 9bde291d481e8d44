-- The control port: sets faults and settings, and shows the state. Plain HTTP, loopback only.

local budget = require "sandbox.budget"
local events = require "sandbox.events"
local json = require "sandbox.json"
local origin = require "sandbox.origin"
local state = require "sandbox.state"

local M = {}

local function say(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.print(body, "\n")
end

local function show()
    local all = state.describe()
    all.budget = budget.describe()
    say(200, json.encode(all))
end

-- What happens once, with the function that does it.
local ONCE = { foreign = budget.foreign, publish_ms = origin.publish,
               others_purge_all = events.others, user_purge_all = events.same_user }

-- Takes these out of args. Returns their numbers, or nil and an error message.
local function take_once(args)
    local once = {}
    for name in pairs(ONCE) do
        local value = args[name]
        once[name], args[name] = tonumber(value), nil
        if value and not once[name] then return nil, "not a value for " .. name .. ": " .. tostring(value) end
    end
    return once
end

local function fault()
    ngx.req.read_body()
    local args = ngx.req.get_post_args(100)
    local once, err = take_once(args)
    local ok = once
    if ok then ok, err = state.change(args) end
    if not ok then return say(400, json.encode { error = err }) end
    for name, value in pairs(once) do ONCE[name](value) end
    show()
end

local function reset()
    state.reset()
    show()
end

local ROUTES = {
    ["GET /state"] = show,
    ["POST /fault"] = fault,
    ["POST /reset"] = reset,
}

function M.serve()
    local route = ROUTES[ngx.req.get_method() .. " " .. ngx.var.uri]
    if not route then
        return say(404, json.encode { error = "GET /state, POST /fault or POST /reset" })
    end
    route()
end

return M
