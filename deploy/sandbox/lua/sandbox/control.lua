-- The control port: sets faults and settings, and shows the state. Plain HTTP, loopback only.

local budget = require "sandbox.budget"
local json = require "sandbox.json"
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

local function fault()
    ngx.req.read_body()
    local args = ngx.req.get_post_args(100)
    local foreign = args.foreign
    args.foreign = nil
    if foreign and not tonumber(foreign) then
        return say(400, json.encode { error = "not a value for foreign: " .. tostring(foreign) })
    end
    local ok, err = state.change(args)
    if not ok then return say(400, json.encode { error = err }) end
    if foreign then budget.foreign(tonumber(foreign)) end
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
