-- SPDX-License-Identifier: MIT
-- The answers of the sink that are not constant.
local ffi = require "ffi"

ffi.cdef [[
struct sink_time { long seconds; long ns; };
int clock_gettime(int clock, struct sink_time *time);
]]

local CLOCK_REALTIME = 0
local REPLY_TIME_S = 0.020
local time = ffi.new("struct sink_time")
local waits = {}
local pages = 0
local sink = {}

-- nginx's own clock has a resolution of one millisecond.
local function now_us()
    ffi.C.clock_gettime(CLOCK_REALTIME, time)
    return tonumber(time.seconds) * 1e6 + tonumber(time.ns) / 1e3
end

-- The reply lists every key of the batch, because purgeline would send missing keys again.
function sink.answer_batch()
    local keys = ngx.var.http_surrogate_key or ""
    local pairs = keys:gsub("(%S+) ?", '"%1": "4151-1635861748-11035", ')

    ngx.sleep(REPLY_TIME_S)
    ngx.print("{ ", pairs:sub(1, -3), " }\n")
end

function sink.answer_url()
    ngx.sleep(REPLY_TIME_S)
    ngx.print('{"status":"ok","id":"17722-1500509140-5286"}\n')
end

-- Records the delay of a request: its URL contains the time of the push.
function sink.note_arrival()
    local at = now_us()

    waits[#waits + 1] = at - tonumber(ngx.var.uri:match("%d+$"))
    ngx.print('{"status":"ok","id":"17722-1500509140-5286"}\n')
end

-- A page, as fresh as can be.
function sink.show_page()
    pages = pages + 1
    ngx.header["Age"] = "0"
    ngx.print("a page\n")
end

function sink.report_pages()
    ngx.print(pages, "\n")
    pages = 0
end

function sink.count_arrivals()
    ngx.print(#waits, "\n")
end

local function percentile(sorted, part)
    return sorted[math.max(1, math.ceil(#sorted * part))] / 1000
end

function sink.report_arrivals()
    local sorted = waits

    waits = {}
    table.sort(sorted)
    if #sorted == 0 then
        ngx.print('{"count": 0}\n')
        return
    end
    ngx.print(string.format('{"count": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
        #sorted, percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(sorted, 1)))
end

return sink
