-- GET /events: the event log, which has purge-alls only.
-- https://www.fastly.com/documentation/reference/api/account/events/

local json = require "sandbox.json"

local M = {}
local dict = ngx.shared.sandbox
local TYPE = "service.purge_all"
local CUSTOMER = "x4xCwxxJxGCx123Rx5xTx"

-- Who purges: the token that the sandbox accepts, another token of the same user, and somebody else.
M.OURS = { token = "5Yo3XXnrQpjc20u0ybrf2g", user = "4y5K5trZocEAQYkesWlk7M" }
local SAME_USER = { token = "3KoTqPLxsdTJHKUYIFJdP1", user = M.OURS.user }
local OTHER_USER = { token = "6vGhRbkCfQPTxn4hXW5Qz2", user = "7CJkbxrFX5TZMfmVAQwDY3" }

function M.add(service, who)
    local n = dict:incr("events", 1, 0)
    dict:set("event:" .. n, json.encode {
        id = string.format("4OBMyjGMkCGxCbXKRBQm%04d", n), type = "event",
        attributes = {
            admin = false, created_at = os.date("!%Y-%m-%dT%H:%M:%SZ", ngx.time()),
            customer_id = CUSTOMER, description = "Purged all of " .. service, event_type = TYPE,
            ip = "127.0.0.1", service_id = service, token_id = who.token, user_id = who.user } })
end

local function add_some(who)
    return function(count)
        local service = next(require("settings").services)
        for _ = 1, count do M.add(service, who) end
    end
end

M.others = add_some(OTHER_USER)
M.same_user = add_some(SAME_USER)

-- Newest first, from a time on: the filters and the order that purgeline asks for.
function M.list(args)
    local list, from = {}, args["filter[created_at][gte]"] or ""
    local most = tonumber(args["page[size]"]) or 20
    for n = dict:get("events") or 0, 1, -1 do
        local event = json.decode(dict:get("event:" .. n))
        if #list < most and event.attributes.created_at >= from then list[#list + 1] = event end
    end
    local wanted = (args["filter[event_type]"] or TYPE) == TYPE
    return json.encode { data = wanted and #list > 0 and list or json.empty_array, links = { last = "" },
                         meta = { current_page = 1, per_page = most, record_count = #list } }
end

return M
