-- The state that can be changed while the sandbox runs: settings (permanent), and faults (rules for some
-- requests or for the next n). It is in shared memory, so that all workers see the same, also after a
-- reload of the configuration.

local json = require "sandbox.json"
local start = require "settings"

local M = {}
local dict = ngx.shared.sandbox

local function number(text)
    local n = tonumber(text)
    return n and n >= 0 and n or nil
end

local function one_of(...)
    local allowed = {}
    for _, word in ipairs { ... } do allowed[word] = word end
    return function(text) return allowed[text] end
end

local function text(s) return s end

-- The POPs and the shield by name, separated by commas; "" for none.
local function cache_names(names)
    for name in names:gmatch("[^,]+") do
        local known
        for _, cache in ipairs(start.caches) do known = known or cache.code == name end
        if not known then return nil end
    end
    return names
end

-- Kinds of requests that purge, separated by commas; "" for none.
local function purge_kinds(names)
    for name in names:gmatch("[^,]+") do
        if not (",key,keys,url,all,purge,"):find("," .. name .. ",", 1, true) then return nil end
    end
    return names
end

-- name = { function that parses it, initial value }
local SETTINGS = {
    budget    = { number, start.budget },           -- purges per window; 0 = unlimited
    per_s     = { function(s) local n = number(s) return n and n > 0 and n or nil end, start.per_s },
    cost      = { one_of("key", "request"), start.cost },
    writes    = { number, 1000 },                   -- purge_all per clock hour
    key_limit = { number, 256 },                    -- keys in one batch
    poison    = { text, "" },                       -- a batch with this key is refused
    effect    = { one_of("0", "1"), "1" },          -- carry purges out on Varnish
    idle      = { purge_kinds, "" },                -- ... but not these kinds
    swr       = { number, 3600 },                   -- stale-while-revalidate of all pages, in seconds
    deaf           = { cache_names, "" },           -- these ignore purges
    shield_late_ms = { number, 0 },                 -- the shield purges that much later
    edge_checks    = { number, 200 },               -- edge_check per clock hour
    superuser      = { one_of("0", "1"), "0" },     -- the token may read the event log
    edge_timeout   = { cache_names, "" },           -- edge_check: these do not answer in time
    edge_large     = { cache_names, "" },           -- edge_check: their content is too large
}

-- The kinds of requests that a fault applies to, unless the rule names others. An invalid token affects
-- all requests; the other faults affect purges only.
local PURGES = "key,keys,url,all,purge"
local ANY = PURGES .. ",other"

-- name = { function that parses the value ("0" always ends the fault), kinds it applies to }
local FAULTS = {
    latency_ms   = { number, PURGES },
    throttle     = { number, PURGES },
    status       = { number, PURGES },
    reset        = { number, PURGES },
    hang         = { number, PURGES },
    crash        = { number, PURGES },
    goaway       = { number, PURGES },
    omit_keys    = { number, PURGES },
    garbage      = { number, PURGES },
    empty        = { number, PURGES },
    unauthorized = { number, ANY },
    forbidden    = { number, ANY },
    not_found    = { number, ANY },
}

-- Options of the faults in the same request.
local DETAILS = { count = number, kind = text, service = text, retry_after = text,
                  jitter_ms = number, body = text }

-- Settings ---------------------------------------------------------------------------------

function M.get(name)
    return dict:get("set:" .. name)
end

-- Whether the setting, a list, names this.
function M.names(name, item)
    return ("," .. M.get(name) .. ","):find("," .. item .. ",", 1, true) ~= nil
end

function M.names_cache(name, cache)
    return cache.code and M.names(name, cache.code)
end

-- Idempotent, because each new worker calls it (after a reload or crash) and the state must survive.
function M.start()
    for name, spec in pairs(SETTINGS) do dict:add("set:" .. name, spec[2]) end
    dict:add("faults", "[]")
    dict:add("version", 0)
    dict:add("epoch", ngx.time())
end

function M.reset()
    local keep = {}                     -- so ids stay unique, and other workers see a newer version
    for _, name in ipairs { "epoch", "purge_id", "rule_id", "version" } do
        keep[name] = dict:get(name) or 0
    end
    dict:flush_all()
    for name, value in pairs(keep) do dict:set(name, value) end
    dict:incr("version", 1)
    M.start()
end

-- Faults -----------------------------------------------------------------------------------

local seen_version, rules

local function load_rules()
    local version = dict:get("version")
    if version ~= seen_version then
        rules, seen_version = json.decode(dict:get("faults")), version
    end
    return rules
end

local function save_rules(list)
    dict:set("faults", #list == 0 and "[]" or json.encode(list))
    dict:incr("version", 1)
end

local function covers(rule, kind, service)
    return ("," .. rule.kind .. ","):find("," .. kind .. ",", 1, true)
        and (not rule.service or rule.service == service)
end

-- The rule `name` that applies to the request, or nil. Each call that returns a rule uses up one of its count.
function M.fault(name, kind, service)
    for _, rule in ipairs(load_rules()) do
        if rule.name == name and covers(rule, kind, service) then
            if not rule.count or dict:incr("left:" .. rule.id, -1) >= 0 then return rule end
        end
    end
end

local function same_scope(rule, details)
    return (not details.kind or rule.kind == details.kind)
        and (not details.service or rule.service == details.service)
end

local function put_rule(list, name, value, details)
    local kept = {}
    for _, rule in ipairs(list) do
        if rule.name ~= name or not same_scope(rule, details) then kept[#kept + 1] = rule end
    end
    if value == 0 then return kept end
    local rule = { name = name, value = value, id = dict:incr("rule_id", 1, 0),
                   kind = details.kind or FAULTS[name][2] }
    for detail, v in pairs(details) do
        if detail ~= "kind" then rule[detail] = v end
    end
    if rule.kind == "any" then rule.kind = ANY end
    if rule.count then dict:set("left:" .. rule.id, rule.count) end
    kept[#kept + 1] = rule
    return kept
end

-- Changing the control values ----------------------------------------------------------------

local function read_values(args)
    local set, faults, details = {}, {}, {}
    for name, raw in pairs(args) do
        local spec = SETTINGS[name] or FAULTS[name] or (DETAILS[name] and { DETAILS[name] })
        if not spec then return nil, "no such fault or setting: " .. name end
        local value = spec[1](tostring(raw))
        if value == nil then return nil, "not a value for " .. name .. ": " .. tostring(raw) end
        local where = SETTINGS[name] and set or FAULTS[name] and faults or details
        where[name] = value
    end
    if next(details) and not next(faults) then
        return nil, next(details) .. " needs a fault beside it"
    end
    return set, faults, details
end

-- Applies all of args (name = text), or none. Returns true, or nil and an error message.
function M.change(args)
    local set, faults, details = read_values(args)
    if not set then return nil, faults end
    for name, value in pairs(set) do dict:set("set:" .. name, value) end
    if set.per_s then require("sandbox.budget").forget() end    -- its bins had another width
    if next(faults) then
        local list = load_rules()
        for name, value in pairs(faults) do list = put_rule(list, name, value, details) end
        save_rules(list)
    end
    return true
end

-- What GET /state shows ------------------------------------------------------------------------

function M.count(status)
    dict:incr("requests", 1, 0)
    dict:incr("status:" .. status, 1, 0)
end

function M.describe()
    local out = { settings = {}, faults = json.empty_array, statuses = {},
                  requests = dict:get("requests") or 0 }
    for name in pairs(SETTINGS) do out.settings[name] = M.get(name) end
    for _, key in ipairs(dict:get_keys(0)) do
        local status = key:match("^status:(%d+)$")
        if status then out.statuses[status] = dict:get(key) end
    end
    for _, rule in ipairs(load_rules()) do
        local copy = {}
        for k, v in pairs(rule) do copy[k] = v end
        copy.left = rule.count and math.max(0, dict:get("left:" .. rule.id)) or nil
        if out.faults == json.empty_array then out.faults = {} end
        out.faults[#out.faults + 1] = copy
    end
    return out
end

return M
