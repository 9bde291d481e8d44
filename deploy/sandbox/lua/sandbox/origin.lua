-- The origin of the site. Every page exists, and its version says how often it has been fetched. So a
-- page with a higher version than before is fresh.
--
-- After publish_ms=N (./sandbox) all pages have the same version instead, which a fetch does not change: one more
-- than before from N ms after that moment.
--
--   /article/17             Surrogate-Key: article-17 section-news all-articles
--   /anything?keys=a+b      Surrogate-Key: a b

local state = require "sandbox.state"

local M = {}
local dict = ngx.shared.sandbox

-- The version of all pages; nil if each page counts its fetches.
local function site_version()
    local version = dict:get("site_version")
    if not version then return nil end
    return ngx.now() >= dict:get("publish_at") and version + 1 or version
end

function M.publish(after_ms)
    ngx.update_time()
    dict:set("site_version", site_version() or 1)
    dict:set("publish_at", ngx.now() + after_ms / 1000)
end

local function surrogate_key(path, keys)
    if type(keys) == "string" and keys ~= "" then return keys end
    local article = path:match("^/article/([%w_.-]+)$")
    return article and "article-" .. article .. " section-news all-articles" or "site"
end

function M.serve()
    local page = (ngx.var.http_host or "") .. ngx.var.request_uri
    local fetches = ngx.shared.pages:incr(page, 1, 0)
    local version = site_version() or fetches
    local swr = state.get("swr")
    local header = ngx.header
    header["Content-Type"] = "text/plain"
    header["Surrogate-Key"] = surrogate_key(ngx.var.uri, ngx.req.get_uri_args().keys)
    header["ETag"] = '"v' .. version .. '"'
    -- Fresh until purged; after a soft purge, served stale for `swr` seconds while refetched.
    header["Cache-Control"] = "max-age=31536000"
        .. (swr > 0 and ", stale-while-revalidate=" .. swr or "")
    header["X-Version"] = version
    local body = "page " .. page .. "\nversion " .. version .. "\n"
    header["Content-Length"] = #body
    ngx.print(body)
end

return M
