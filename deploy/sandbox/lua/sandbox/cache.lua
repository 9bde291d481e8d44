-- Carries a purge over to Varnish: one request per purge on a kept-alive connection, and back
-- only when Varnish has done it. (Sub-requests would do, but nginx-lua has none under HTTP/2.)

local settings = require "settings"

local M = {}
local POOL = { pool_size = 256 }
local IDLE_MS = 50000               -- Varnish is told to keep idle connections for 60 s
local MAX_KEYS_BYTES = 60000        -- of one header line; see http_req_hdr_len in ./sandbox

local function exchange(request)
    local sock = ngx.socket.tcp()
    sock:settimeouts(2000, 5000, 10000)
    local ok, err = sock:connect("127.0.0.1", settings.site_port, POOL)
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

-- True, or nil and why not. An idle connection may just have been closed: that one try is free.
local function purge(what, soft, host, path, keys)
    local request = table.concat({
        "PURGE ", path, " HTTP/1.1\r\nHost: ", host,
        "\r\nX-Sandbox-Secret: ", settings.secret,
        "\r\nX-Sandbox-What: ", what, soft and "\r\nX-Sandbox-Soft: 1" or "",
        keys and "\r\nX-Sandbox-Keys: " or "", keys or "", "\r\n\r\n" })
    local ok, err, reused = exchange(request)
    if not ok and reused then ok, err = exchange(request) end
    return ok, err
end

local HIDE = { ["%"] = "%25", [","] = "%2C" }       -- as in default.vcl.in

-- Keys that no page can carry (a space, a control character) need not be asked for.
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
