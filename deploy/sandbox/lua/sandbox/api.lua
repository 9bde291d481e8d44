-- The purging part of api.fastly.com: checks a request, carries it out, answers it.
--
--      read ─▶ refused? ─▶ wait (latency) ─▶ hang, reset, crash? ─▶ purge Varnish ─▶ answer
--               │ 401 403 404 400 429 status=…                       │ not for garbage, empty
--               └──────────────────────────▶ answer ◀────────────────┘
--
-- A purge is carried out just before the answer that confirms it, or not at all. A request that is
-- refused with 4xx costs nothing; a request that passes the budget check costs budget, whatever the answer.
--
-- Bodies and headers are copied from recorded exchanges, for instance
-- https://github.com/fastly/go-fastly/tree/main/fastly/fixtures/purges

local budget = require "sandbox.budget"
local cache = require "sandbox.cache"
local edge_check = require "sandbox.edge_check"
local events = require "sandbox.events"
local ffi = require "ffi"
local json = require "sandbox.json"
local log = require "sandbox.log"
local request = require "sandbox.request"
local settings = require "settings"
local state = require "sandbox.state"

ffi.cdef [[ int getppid(void); int kill(int, int); void _exit(int); ]]

local M = {}
local dict = ngx.shared.sandbox
local HANGUP = 1
local MAX_KEY_BYTES = 1024
local MAX_HEADER_BYTES = 16384

local JSON = { ["Content-Type"] = "application/json" }

-- Answers ------------------------------------------------------------------------------------

local function answer(status, body, headers)
    return { status = status, body = body, headers = headers or JSON }
end

local function said_no(status, msg, detail)
    return answer(status, json.encode { msg = msg, detail = detail })
end

local function bad_batch(reason)
    return answer(400, '{"status": "fail", "reason": ' .. json.str(reason) .. "}")
end

local function unauthorized()
    return said_no(401, "Provided credentials are missing or invalid")
end

local function no_service()
    return said_no(404, "Record not found", "Cannot find service")
end

local function slow_down(headers)
    return answer(429, '{"msg":"You have exceeded your hourly rate limit. '
        .. 'Please contact support@fastly.com if you think this is a mistake."}', headers)
end

-- The id of a purge: <cache node>-<start time of its process>-<counter>. Clients do not interpret it.
local function purge_id()
    return string.format("%d-%d-%d", settings.node, dict:get("epoch"), dict:incr("purge_id", 1, 0))
end

local function edge_headers(more)
    local headers = {
        ["Accept-Ranges"] = "bytes",
        ["Via"] = "1.1 varnish",
        ["X-Served-By"] = "cache-sbx" .. settings.node .. "-SBX",
        ["X-Varnish"] = dict:incr("xid", 1, 3089611038),
    }
    for name, value in pairs(more) do headers[name] = value end
    return headers
end

local function purged_one(rec)
    rec.purge_id = purge_id()
    return answer(200, '{ "status": "ok", "id": "' .. rec.purge_id .. '" }', edge_headers(JSON))
end

-- Each key gets the batch's id with a number appended. There is no Content-Type, as in the recordings.
local function purged_batch(rec, keys)
    local id, out = purge_id(), {}
    rec.purge_id = id
    for i, key in ipairs(keys) do out[i] = string.format('%s: "%s-%d"', json.str(key), id, i) end
    return answer(200, "{ " .. table.concat(out, ", ") .. " }",
                  edge_headers { ["Fastly-Surrogate-Key-Count"] = #keys })
end

local function purged_site_url(rec)
    rec.purge_id = purge_id()
    return answer(200, '{"status": "ok", "id": "' .. rec.purge_id .. '"}\n', edge_headers(JSON))
end

local function purged_all(rec)
    return answer(200, '{"status":"ok"}', rec.write_headers)
end

-- Why a request is refused ---------------------------------------------------------------------

local function refused_by_token(rec)
    if state.fault("unauthorized", rec.kind, rec.service) then return unauthorized() end
    if rec.kind ~= "purge" and rec.uri ~= "/public-ip-list" then -- these need none by default
        local headers = ngx.req.get_headers(0)
        local token = headers["fastly-key"] or headers["x-fastly-key"]
        if token ~= settings.token then return unauthorized() end
    end
    if state.fault("forbidden", rec.kind, rec.service) then
        return said_no(403, "You are not authorized to perform this action")
    end
end

local function refused_by_service(rec)
    if state.fault("not_found", rec.kind, rec.service) then return no_service() end
    if rec.service and not settings.services[rec.service] then return no_service() end
end

local function refused_by_form(rec)
    if rec.kind == "url" or rec.kind == "purge" then
        if rec.malformed then return answer(400, "Malformed purge request", {}) end
        return nil
    end
    if not rec.keys then return nil end
    if rec.malformed then return bad_batch("Request body is not a list of surrogate keys") end
    if #rec.keys == 0 then return bad_batch("No surrogate keys given") end
    local limit = state.get("key_limit")
    if #rec.keys > limit then
        return bad_batch("Batch surrogate key request only supports up to " .. limit
                         .. " surrogate keys")
    end
    if (rec.header_bytes or 0) > MAX_HEADER_BYTES then
        return bad_batch("Surrogate-Key header is longer than " .. MAX_HEADER_BYTES .. " bytes")
    end
    local poison = state.get("poison")
    for _, key in ipairs(rec.keys) do
        if #key > MAX_KEY_BYTES then
            return bad_batch("Surrogate key is longer than " .. MAX_KEY_BYTES .. " bytes")
        end
        if key == poison then return bad_batch("Invalid surrogate key") end
    end
end

local function with_retry_after(reply, rule)
    if rule.retry_after then
        local headers = { ["Retry-After"] = rule.retry_after }
        for name, value in pairs(reply.headers) do headers[name] = value end
        reply.headers = headers
    end
    return reply
end

local function refused_by_writes(rec)
    local ok, remaining, reset = budget.write()
    rec.write_headers = {
        ["Content-Type"] = "application/json", ["Cache-Control"] = "no-store",
        ["Fastly-RateLimit-Remaining"] = remaining, ["Fastly-RateLimit-Reset"] = reset }
    if not ok then return slow_down(rec.write_headers) end
end

local function refused_by_budget(rec)
    local rule = state.fault("throttle", rec.kind, rec.service)
    if rule then return with_retry_after(slow_down(), rule) end
    if rec.kind == "all" then return refused_by_writes(rec) end
    local t, ok = budget.spend(rec.cost)
    rec.t = t
    if not ok then return slow_down() end
end

local TEXTS = { [408] = "Request Timeout", [500] = "Internal Server Error", [502] = "Bad Gateway",
                [503] = "Service Unavailable", [504] = "Gateway Timeout" }

local function refused_by_fault(rec)
    local rule = state.fault("status", rec.kind, rec.service)
    if not rule then return nil end
    local body = rule.body or TEXTS[rule.value] or "status " .. rule.value
    return with_retry_after(answer(rule.value, body, { ["Content-Type"] = "text/plain" }), rule)
end

-- The cost of a request that passes the budget check. purge_all uses the write budget instead.
local function cost(rec)
    if rec.kind == "url" or rec.kind == "purge" then return 1 end
    if not rec.keys then return 0 end
    return state.get("cost") == "key" and #rec.keys or 1
end

local function judge(rec)
    rec.cost = cost(rec)
    return refused_by_token(rec) or refused_by_service(rec) or refused_by_form(rec)
        or (rec.kind ~= "other" and (refused_by_budget(rec) or refused_by_fault(rec)))
        or nil
end

-- Faults of an accepted purge --------------------------------------------------------------------

local function wait(rec)
    local rule = state.fault("latency_ms", rec.kind, rec.service)
    if not rule then return end
    ngx.sleep((rule.value + math.random() * (rule.jitter_ms or 0)) / 1000)
end

local function written_unanswered(rec)
    rec.status = 0
    log.write(rec)
end

local function hang(rec)
    written_unanswered(rec)
    while true do ngx.sleep(3600) end       -- until the client or the sandbox gives up
end

local function reset(rec)
    written_unanswered(rec)
    ngx.exit(444)                           -- TCP reset; under HTTP/2 a reset of the stream
end

-- Kills the worker process and so resets all its connections. nginx starts another worker at once.
local function crash(rec)
    written_unanswered(rec)
    ffi.C._exit(1)
end

local function never_answered(rec)
    if state.fault("hang", rec.kind, rec.service) then hang(rec) end
    if state.fault("reset", rec.kind, rec.service) then reset(rec) end
    if state.fault("crash", rec.kind, rec.service) then crash(rec) end
end

local function unusable_answer(rec)
    if state.fault("garbage", rec.kind, rec.service) then
        return answer(200, "<html>this is not JSON", { ["Content-Type"] = "text/html" })
    end
    if state.fault("empty", rec.kind, rec.service) then return answer(200, "", JSON) end
end

local function leave_out_keys(rec)
    local rule = rec.kind == "keys" and state.fault("omit_keys", rec.kind, rec.service)
    if not rule then return rec.keys end
    return { unpack(rec.keys, 1, math.max(0, #rec.keys - rule.value)) }
end

-- Carrying out a purge -----------------------------------------------------------------------

local PURGE = {
    key   = function(rec) return cache.purge_keys(rec.keys, rec.soft) end,
    keys  = function(rec, keys) return cache.purge_keys(keys, rec.soft) end,
    url   = function(rec) return cache.purge_url(rec.host, rec.path, rec.soft) end,
    purge = function(rec) return cache.purge_url(rec.host, rec.path, rec.soft) end,
    all   = function() return cache.purge_all() end,
}

local ANSWER = {
    key = purged_one,
    keys = purged_batch,
    url = purged_one,
    purge = purged_site_url,
    all = purged_all,
}

local function carry_out(rec)
    local unusable = unusable_answer(rec)
    if unusable then return unusable end
    local keys = leave_out_keys(rec)
    if state.get("effect") == "1" and not state.names("idle", rec.kind) then
        local ok, err = PURGE[rec.kind](rec, keys)
        if not ok then
            ngx.log(ngx.ERR, "Varnish did not purge: ", err)
            return answer(500, "sandbox: Varnish did not purge: " .. err, {})
        end
        rec.purged = true
    end
    if rec.kind == "all" then events.add(rec.service, events.OURS) end
    return ANSWER[rec.kind](rec, keys)
end

-- Requests that are not purges -----------------------------------------------------------------

local function service_list()
    local list = {}
    for id in pairs(settings.services) do list[#list + 1] = id end
    table.sort(list)
    return list
end

local function token_self()
    return answer(200, json.encode {
        id = events.OURS.token, user_id = events.OURS.user,
        customer_id = "x4xCwxxJxGCx123Rx5xTx", name = "sandbox",
        created_at = "2016-06-22T03:19:48+00:00", last_used_at = "2016-06-22T03:19:48+00:00",
        ip = "127.0.0.1", scope = "purge_select purge_all",
        scopes = { "purge_select", "purge_all" }, services = service_list() })
end

local function current_user()
    return answer(200, json.encode {
        id = "4y5K5trZocEAQYkesWlk7M", login = "sandbox@example.com", name = "sandbox",
        role = "engineer", customer_id = "x4xCwxxJxGCx123Rx5xTx" })
end

local function service_self(rec)
    return answer(200, json.encode {
        id = rec.service, name = "sandbox", type = "vcl", comment = "",
        customer_id = "x4xCwxxJxGCx123Rx5xTx" })
end

local function public_ip_list()
    return answer(200, json.encode {
        addresses = { "192.0.2.0/24", "198.51.100.0/24" }, ipv6_addresses = { "2001:db8::/32" } })
end

local function content_check()
    local url = ngx.req.get_uri_args().url
    if not budget.edge_check() then return slow_down() end
    local entries = type(url) == "string" and edge_check.all(url)
    if not entries then return said_no(400, "Bad request", "url is missing") end
    return answer(200, json.encode(entries))
end

local function event_log()
    if state.get("superuser") == "0" then return said_no(403, "You are not authorized to perform this action") end
    return answer(200, events.list(ngx.req.get_uri_args()), { ["Content-Type"] = "application/vnd.api+json" })
end

local function other(rec)
    local path = rec.uri:gsub("%?.*$", "")
    if rec.method == "GET" then
        if path == "/tokens/self" then return token_self() end
        if path == "/current_user" then return current_user() end
        if path == "/public-ip-list" then return public_ip_list() end
        if path == "/events" then return event_log() end
        if path == "/content/edge_check" and settings.pops then return content_check() end
        if rec.service and path == "/service/" .. rec.service then return service_self(rec) end
    end
    return said_no(404, "Record not found", "Cannot find " .. path)
end

-- Handling a request -----------------------------------------------------------------------------

local function send(rec, reply)
    log.ends(rec, reply.status)
    state.count(reply.status)
    ngx.status = reply.status
    for name, value in pairs(reply.headers) do ngx.header[name] = value end
    ngx.header["Content-Length"] = #reply.body
    ngx.print(reply.body)
end

-- Restarts nginx gracefully, which closes every connection: HTTP/2 connections get a GOAWAY, and HTTP/1.1
-- connections are closed after the answer.
local function go_away(rec)
    if not state.fault("goaway", rec.kind, rec.service) then return end
    ngx.eof()
    ffi.C.kill(ffi.C.getppid(), HANGUP)
end

local function handle(read)
    local rec = log.begin()
    read(rec)
    ngx.update_time()
    rec.t = ngx.now()
    local reply = judge(rec)
    wait(rec)
    if not reply then
        if rec.kind == "other" then
            reply = other(rec)
        else
            never_answered(rec)
            reply = carry_out(rec)
        end
    end
    send(rec, reply)
    go_away(rec)
end

function M.serve()
    handle(request.read)
end

function M.serve_site_purge()
    handle(request.read_site_purge)
end

return M
