-- The origin of the site. Every page exists, and its version says how often it has been fetched. So a
-- page with a higher version than before is fresh.
--
--   /article/17             Surrogate-Key: article-17 section-news all-articles
--   /anything?keys=a+b      Surrogate-Key: a b

local M = {}

local function surrogate_key(path, keys)
    if type(keys) == "string" and keys ~= "" then return keys end
    local article = path:match("^/article/([%w_.-]+)$")
    return article and "article-" .. article .. " section-news all-articles" or "site"
end

function M.serve()
    local page = (ngx.var.http_host or "") .. ngx.var.request_uri
    local version = ngx.shared.pages:incr(page, 1, 0)
    local header = ngx.header
    header["Content-Type"] = "text/plain"
    header["Surrogate-Key"] = surrogate_key(ngx.var.uri, ngx.req.get_uri_args().keys)
    header["ETag"] = '"v' .. version .. '"'
    -- Fresh until purged; after a soft purge, served stale for up to an hour while refetched.
    header["Cache-Control"] = "max-age=31536000, stale-while-revalidate=3600"
    header["X-Version"] = version
    local body = "page " .. page .. "\nversion " .. version .. "\n"
    header["Content-Length"] = #body
    ngx.print(body)
end

return M
