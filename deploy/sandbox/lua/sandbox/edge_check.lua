-- GET /content/edge_check?url=…: the headers of a page and the hash of its content, from every cache.
-- https://www.fastly.com/documentation/reference/api/utils/content/
--
-- The form of the answer is that of a recorded one:
-- https://github.com/fastly/go-fastly/blob/main/fastly/fixtures/content/check.yaml
-- Nothing public shows the rest of an entry whose hash is error-timeout-… or warning-too-large-…

local json = require "sandbox.json"
local request = require "sandbox.request"
local settings = require "settings"
local state = require "sandbox.state"

local M = {}
local TIMEOUT_MS = 10000
local MAX_BYTES = 1048576

-- The whole reply as text, or nil if there is none in time. HTTP/1.0 has no chunks: the reply ends with the
-- connection.
local function get(cache, host, path)
    local sock = ngx.socket.tcp()
    sock:settimeout(TIMEOUT_MS)
    local sent = sock:connect("127.0.0.1", cache.port) and sock:send(table.concat({
        "GET ", path, " HTTP/1.0\r\nHost: ", host,
        "\r\nUser-Agent: Fastly/cache-check\r\nFastly-Debug: 1\r\n\r\n" }))
    local text = sent and sock:receive("*a")
    sock:close()
    return text
end

-- Status, headers and body. A header that comes twice is a list, as in recorded answers.
local function split_reply(text)
    local head, body = text:match("^(.-)\r\n\r\n(.*)$")
    local headers = {}
    for name, value in head:gmatch("\r\n([^:\r]+):%s*([^\r]*)") do
        local had = headers[name]
        if type(had) == "table" then
            had[#had + 1] = value
        else
            headers[name] = had and { had, value } or value
        end
    end
    return tonumber(head:match("^HTTP/%d%.%d (%d+)")), headers, body
end

local function check(cache, host, path)
    local began = ngx.now()
    local text = not state.names_cache("edge_timeout", cache) and get(cache, host, path)
    ngx.update_time()
    local entry = {
        pop = cache.pop, server = cache.server, response_time = ngx.now() - began,
        hash = "error-timeout-" .. cache.pop,
        request = {
            headers = { ["User-Agent"] = "Fastly/cache-check", ["Fastly-Debug"] = 1, Host = host },
            method = json.null, url = json.null },
        response = { headers = {}, status = json.null },
    }
    if text and text:find("\r\n\r\n", 1, true) then
        local status, headers, body = split_reply(text)
        local large = #body > MAX_BYTES or state.names_cache("edge_large", cache)
        entry.hash = large and "warning-too-large-" .. cache.pop or ngx.md5(body)
        entry.response = { headers = headers, status = status }
    end
    return entry
end

-- Returns one entry for each cache, or nil if the URL is not one. The page is a real request to each of them, so
-- a cache that did not have it has it afterwards.
function M.all(url)
    local host, path = request.split_url(url)
    if not host then return nil end
    local threads, entries = {}, {}
    for i, cache in ipairs(settings.caches) do threads[i] = ngx.thread.spawn(check, cache, host, path) end
    for i, thread in ipairs(threads) do
        local ok, entry = ngx.thread.wait(thread)
        entries[i] = ok and entry or error(entry, 0)
    end
    return entries
end

return M
