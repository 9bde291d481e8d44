-- quote(s): makes a JSON string from any bytes. Valid UTF-8 stays; any other byte becomes \u00XX,
-- so it reads as Latin-1, which it probably was. cjson.encode would leave such a byte unchanged and
-- make the document invalid.

local short = {[8]='\\b', [9]='\\t', [10]='\\n', [12]='\\f', [13]='\\r',
  [34]='\\"', [92]='\\\\'}
local function utf8_length(s, i, b)
  local c = s:byte(i + 1) or 0
  if b >= 0xC2 and b <= 0xDF then return (c >= 0x80 and c <= 0xBF) and 2 or 0 end
  local low, high, n = 0x80, 0xBF, 0
  if b >= 0xE0 and b <= 0xEF then
    n = 3
    if b == 0xE0 then low = 0xA0 elseif b == 0xED then high = 0x9F end
  elseif b >= 0xF0 and b <= 0xF4 then
    n = 4
    if b == 0xF0 then low = 0x90 elseif b == 0xF4 then high = 0x8F end
  end
  if n == 0 or c < low or c > high then return 0 end
  for k = i + 2, i + n - 1 do
    local d = s:byte(k) or 0
    if d < 0x80 or d > 0xBF then return 0 end
  end
  return n
end
local function quote(s)
  if not s:find('[^%w%p ]') and not s:find('["\\]') then return '"' .. s .. '"' end
  local out, i = {'"'}, 1
  while i <= #s do
    local b, n = s:byte(i), 1
    if b >= 0x80 then n = utf8_length(s, i, b) end
    if n == 0 then out[#out + 1] = string.format('\\u%04x', b); n = 1
    elseif short[b] then out[#out + 1] = short[b]
    elseif b < 32 or b == 127 then out[#out + 1] = string.format('\\u%04x', b)
    else out[#out + 1] = s:sub(i, i + n - 1) end
    i = i + n
  end
  out[#out + 1] = '"'
  return table.concat(out)
end
