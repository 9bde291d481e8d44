-- requests.log: one JSON line per request, one write(2) per line, without a buffer.
--
-- A request is logged just before its answer is sent, so whoever has the answer finds the line. A
-- request that will never be answered (fault hang, reset or crash) is logged when it arrives, with
-- status 0 and done null. A request whose client gives up waiting is logged at that moment, with
-- status 499.

local json = require "sandbox.json"
local settings = require "settings"

local M = {}
local file

function M.open()
    file = assert(io.open(settings.dir .. "/requests.log", "a"))
    file:setvbuf("no")
end

local function line(rec)
    local out = {
        string.format('{"t":%.3f,"begin":%.3f,"done":%s', rec.t, rec.begin,
                      rec.done and string.format("%.3f", rec.done) or "null"),
        '"kind":"' .. rec.kind .. '"',
        '"service":' .. (rec.service and json.bytes(rec.service) or "null"),
        '"soft":' .. tostring(rec.soft or false),
        '"n":' .. (rec.n or 0),
        '"cost":' .. (rec.cost or 0),
        '"status":' .. rec.status,
        '"purged":' .. tostring(rec.purged or false),
        '"proto":"' .. rec.proto .. '"',
        '"conn":' .. rec.conn,
        '"method":' .. json.bytes(rec.method),
    }
    if rec.keys then
        out[#out + 1] = '"keys":' .. json.array(rec.keys, json.bytes)
    else
        out[#out + 1] = '"url":' .. json.bytes(rec.url or rec.uri)
    end
    if rec.purge_id then out[#out + 1] = '"id":"' .. rec.purge_id .. '"' end
    return table.concat(out, ",") .. "}\n"
end

function M.write(rec)
    if rec.written then return end
    rec.written = true
    file:write(line(rec))
end

-- The record of the current request before it is checked.
function M.begin()
    local rec = {
        begin = ngx.req.start_time(),   -- its first byte
        kind = "other",
        proto = ngx.var.server_protocol,
        conn = ngx.var.connection,
        method = ngx.req.get_method(),
        uri = ngx.var.request_uri,
    }
    ngx.ctx.rec = rec
    return rec
end

-- The request ends with this status.
function M.ends(rec, status)
    ngx.update_time()
    rec.t = rec.t or rec.begin
    rec.done = ngx.now()
    rec.status = status
    M.write(rec)
end

-- The log phase, which nginx calls for every request, after its answer: logs those that had none.
function M.finish()
    local rec = ngx.ctx.rec
    if rec and not rec.written then M.ends(rec, tonumber(ngx.var.status) or 0) end
end

return M
