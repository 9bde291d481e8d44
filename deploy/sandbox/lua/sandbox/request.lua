-- Parses a request: kind, service, keys or URL, soft. The bytes are used as received, without decoding or
-- normalisation. https://www.fastly.com/documentation/reference/api/purging/

local json = require "sandbox.json"

local M = {}

-- An HTTP/2 request may have a body without a Content-Length. Newer versions of nginx-lua raise an error
-- when such a body is read; then it is treated as empty.
local function body_text()
    local length = tonumber(ngx.var.http_content_length)
    if length or ngx.var.http_transfer_encoding then
        ngx.req.read_body()
    elseif ngx.req.http_version() < 2 or not pcall(ngx.req.read_body) then
        return ""
    end
    return ngx.req.get_body_data() or ""
end

-- The keys in all Surrogate-Key header lines, and the total length of these lines.
local function header_keys()
    local value = ngx.req.get_headers(0)["surrogate-key"] or ""
    if type(value) == "table" then value = table.concat(value, " ") end
    local keys = {}
    for key in value:gmatch("[^ ]+") do keys[#keys + 1] = key end
    return keys, #value
end

-- The list in {"surrogate_keys": [...]}, whatever the Content-Type says; nil if the body is invalid.
local function body_keys()
    local text = body_text()
    if not text:find("%S") then return {} end
    local object = json.decode(text)
    if type(object) ~= "table" then return nil end
    local keys = object.surrogate_keys
    if keys == nil or keys == json.null then return {} end
    if type(keys) ~= "table" then return nil end
    for _, key in ipairs(keys) do
        if type(key) ~= "string" then return nil end
    end
    return keys
end

-- The keys of header and body, without duplicates.
local function union(a, b)
    local seen, keys = {}, {}
    for _, list in ipairs { a, b } do
        for _, key in ipairs(list) do
            if not seen[key] then
                seen[key] = true
                keys[#keys + 1] = key
            end
        end
    end
    return keys
end

local function read_batch(rec)
    local in_header, header_bytes = header_keys()
    local in_body = body_keys()
    rec.malformed = not in_body
    rec.header_bytes = header_bytes
    rec.kind, rec.keys = "keys", union(in_header, in_body or {})
end

-- Host and path of "https://Host/path?query", "//Host/…" or "Host/path?query".
function M.split_url(url)
    local rest = url:gsub("^%a[%w+.-]*://", "")
    local host, path = rest:match("^([^/?#]+)(.*)$")
    if not host then return nil end
    if path:sub(1, 1) ~= "/" then path = "/" .. path end
    return host:lower(), path
end

local function read_url(rec, url)
    rec.kind, rec.url = "url", url
    rec.host, rec.path = M.split_url(url)
    rec.malformed = not rec.host
end

local function read_service(rec, service, rest)
    rec.service = service
    local path = rest:gsub("%?.*$", "")
    local key = path:match("^/purge/(.+)$")
    if path == "/purge_all" then
        rec.kind = "all"
    elseif path == "/purge" or path == "/purge/" then
        read_batch(rec)
    elseif key then
        rec.kind, rec.keys = "key", { key }
    end
end

-- Fills in `rec` from the request line and the headers.
function M.read(rec)
    rec.soft = ngx.req.get_headers(0)["fastly-soft-purge"] ~= nil   -- any value
    local service, rest = rec.uri:match("^/service/([^/?]+)(/?.*)$")
    if rec.method == "POST" then
        local url = rec.uri:match("^/purge/(.*)$")
        if url then
            read_url(rec, url)
        elseif service then
            read_service(rec, service, rest)
        end
    elseif service then
        rec.service = service
    end
    if rec.kind == "all" then rec.soft = false end      -- there is no soft purge_all
    rec.n = rec.keys and #rec.keys or 0
end

-- A PURGE request to the site itself.
function M.read_site_purge(rec)
    local host = ngx.var.http_host or ""
    rec.kind, rec.url = "purge", "http://" .. host .. rec.uri
    rec.host, rec.path = host:lower(), rec.uri
    rec.soft = ngx.req.get_headers(0)["fastly-soft-purge"] ~= nil
end

return M
