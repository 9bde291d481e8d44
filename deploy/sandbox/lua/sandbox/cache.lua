-- Sends purges to Varnish, or to every Varnish if there are several: one request per purge on a kept-alive
-- connection. Returns only when all have purged, except for those that are told to be late or deaf. (Sub-requests would be simpler, but nginx-lua does not support them under HTTP/2.)

local settings = require "settings"
local state = require "sandbox.state"

local M = {}
local POOL = { pool_size = 256 }
local IDLE_MS = 50000               -- less than the 60 s after which Varnish closes idle connections
local MAX_KEYS_BYTES = 60000        -- in one header line; see http_req_hdr_len in ./sandbox

local function exchange(port, request)
    local sock = ngx.socket.tcp()
    sock:settimeouts(2000, 5000, 10000)
    local ok, err = sock:connect("127.0.0.1", port, POOL)
    if not ok then return nil, err end
    local reused = sock:getreusedtimes() > 0
    ok, err = sock:send(request)
    local status = ok and sock:receive("*l")
    if not status then
        sock:close()
        return nil, err or "no reply", reused
    end
    local length = 0
    for header in function() return sock:receive("*l") end do
        if header == "" then break end
        length = tonumber(header:lower():match("^content%-length:%s*(%d+)")) or length
    end
    if length > 0 then sock:receive(length) end
    sock:setkeepalive(IDLE_MS, POOL.pool_size)
    if not status:find("^HTTP/1%.1 200 ") then return nil, status end
    return true
end

-- Returns true, or nil and the reason. If it fails on a reused connection, which Varnish may just have
-- closed, it tries once more.
local function send_to(port, request)
    local ok, err, reused = exchange(port, request)
    if not ok and reused then ok, err = exchange(port, request) end
    return ok, err
end

local function send_late(_, port, request)
    local ok, err = send_to(port, request)
    if not ok then ngx.log(ngx.ERR, "the shield did not purge: ", err) end
end

local function tell(cache, request)
    local late_ms = cache.shield and state.get("shield_late_ms") or 0
    if late_ms > 0 then return ngx.timer.at(late_ms / 1000, send_late, cache.port, request) end
    return send_to(cache.port, request)
end

local function purge(what, soft, host, path, keys)
    local request = table.concat({
        "PURGE ", path, " HTTP/1.1\r\nHost: ", host,
        "\r\nX-Sandbox-Secret: ", settings.secret,
        "\r\nX-Sandbox-What: ", what, soft and "\r\nX-Sandbox-Soft: 1" or "",
        keys and "\r\nX-Sandbox-Keys: " or "", keys or "", "\r\n\r\n" })
    for _, cache in ipairs(settings.caches) do
        if not state.names_cache("deaf", cache) then
            local ok, err = tell(cache, request)
            if not ok then return nil, err end
        end
    end
    return true
end

local HIDE = { ["%"] = "%25", [","] = "%2C" }       -- as in default.vcl.in

-- Keys with a space or a control character are skipped: no page can have them.
local function purgeable(key)
    return not key:find("[^\33-\126]") and key:gsub("[%%,]", HIDE)
end

function M.purge_keys(keys, soft)
    local line, size = {}, 0
    local function send()
        if #line == 0 then return true end
        local joined = table.concat(line, " ")
        line, size = {}, 0
        return purge("keys", soft, "keys", "/", joined)
    end
    for _, key in ipairs(keys) do
        local word = purgeable(key)
        if word then
            if size + #word + 1 > MAX_KEYS_BYTES then
                local ok, err = send()
                if not ok then return nil, err end
            end
            line[#line + 1], size = word, size + #word + 1
        end
    end
    return send()
end

function M.purge_url(host, path, soft)
    return purge("url", soft, host, path)
end

function M.purge_all()
    return purge("all", false, "all", "/")
end

return M
