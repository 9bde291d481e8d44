-- The parts of JSON that the sandbox needs (Debian's nginx has no JSON library).

local M = {}

local function escape(char)
    return string.format("\\u%04x", char:byte())
end

-- A JSON string. Bytes from 0x80 up are copied unchanged.
function M.str(s)
    return '"' .. s:gsub('[%z\1-\31"\\\127]', escape) .. '"'
end

-- A JSON string of ASCII only: a byte from 0x80 up becomes \u00XX. So any bytes result in a valid
-- line, and encoding the decoded text as Latin-1 restores them.
function M.bytes(s)
    return '"' .. s:gsub('[%z\1-\31"\\\127-\255]', escape) .. '"'
end

function M.array(list, item)
    local out = {}
    for i, value in ipairs(list) do out[i] = item(value) end
    return "[" .. table.concat(out, ",") .. "]"
end

-- Encodes numbers, strings, booleans, null, arrays, and objects with string names. Names are sorted, so that the
-- output is always the same.
function M.encode(value)
    local kind = type(value)
    if kind == "string" then return M.str(value) end
    if kind == "number" then return string.format("%.14g", value) end
    if kind ~= "table" or value == M.null then return value == nil and "null" or tostring(value) end
    if value[1] ~= nil or value == M.empty_array then return M.array(value, M.encode) end
    local names, out = {}, {}
    for name in pairs(value) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do out[i] = M.str(name) .. ":" .. M.encode(value[name]) end
    return "{" .. table.concat(out, ",") .. "}"
end

M.empty_array = {}

local function utf8(code)
    if code < 0x80 then return string.char(code) end
    local tail = string.char(0x80 + code % 64)
    code = math.floor(code / 64)
    if code < 0x20 then return string.char(0xC0 + code) .. tail end
    tail = string.char(0x80 + code % 64) .. tail
    code = math.floor(code / 64)
    if code < 0x10 then return string.char(0xE0 + code) .. tail end
    return string.char(0xF0 + math.floor(code / 64), 0x80 + code % 64) .. tail
end

local PLAIN = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
                ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local decode_value

local function skip(s, at)
    return s:find("[^ \t\r\n]", at) or #s + 1
end

local function fail(at)
    error({ at = at }, 0)
end

local function decode_escape(s, at)
    local char = s:sub(at, at)
    if PLAIN[char] then return PLAIN[char], at + 1 end
    local hex = s:match("^u(%x%x%x%x)", at) or fail(at)
    local code, next_at = tonumber(hex, 16), at + 5
    if code >= 0xD800 and code < 0xDC00 then
        local low = tonumber(s:match("^\\u([dD][c-fC-F]%x%x)", next_at) or fail(at), 16)
        code, next_at = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00), next_at + 6
    end
    return utf8(code), next_at
end

local function decode_string(s, at)
    local parts = {}
    at = at + 1
    while true do
        local stop = s:find('[%z\1-\31"\\]', at) or fail(at)
        parts[#parts + 1] = s:sub(at, stop - 1)
        local char = s:sub(stop, stop)
        if char == '"' then return table.concat(parts), stop + 1 end
        if char ~= "\\" then fail(stop) end
        parts[#parts + 1], at = decode_escape(s, stop + 1)
    end
end

-- The common syntax of arrays and objects: items, commas, a closing bracket.
local function decode_items(s, at, close, item)
    at = skip(s, at + 1)
    if s:sub(at, at) == close then return at + 1 end
    while true do
        at = skip(s, item(at))
        local char = s:sub(at, at)
        if char == close then return at + 1 end
        if char ~= "," then fail(at) end
        at = skip(s, at + 1)
    end
end

local function decode_array(s, at, depth)
    local out = {}
    return out, decode_items(s, at, "]", function(i)
        local value, next_at = decode_value(s, i, depth)
        out[#out + 1] = value
        return next_at
    end)
end

local function decode_object(s, at, depth)
    local out = {}
    return out, decode_items(s, at, "}", function(i)
        if s:sub(i, i) ~= '"' then fail(i) end
        local name, colon = decode_string(s, i)
        colon = skip(s, colon)
        if s:sub(colon, colon) ~= ":" then fail(colon) end
        local value, next_at = decode_value(s, skip(s, colon + 1), depth)
        out[name] = value
        return next_at
    end)
end

M.null = setmetatable({}, { __tostring = function() return "null" end })

local WORDS = { ["true"] = true, ["false"] = false, ["null"] = M.null }

function decode_value(s, at, depth)
    if depth > 64 then fail(at) end
    local char = s:sub(at, at)
    if char == '"' then return decode_string(s, at) end
    if char == "[" then return decode_array(s, at, depth + 1) end
    if char == "{" then return decode_object(s, at, depth + 1) end
    local word = s:match("^%l+", at)
    if word and WORDS[word] ~= nil then return WORDS[word], at + #word end
    local number = s:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", at)
    if number and tonumber(number) then return tonumber(number), at + #number end
    fail(at)
end

-- Returns the value, or nil and the position of the first byte that is not valid JSON.
function M.decode(s)
    local ok, value, at = pcall(decode_value, s, skip(s, 1), 0)
    if not ok then
        if type(value) ~= "table" then error(value, 0) end
        return nil, value.at
    end
    at = skip(s, at)
    if at <= #s then return nil, at end
    return value
end

return M
