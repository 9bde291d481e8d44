-- scope_of(fields): what a producer must be allowed to purge to be shown ref and reason, as a JSON
-- list of "url", "key", "all", "service:<name>", "host:<host>"; "large" stands for entries that no
-- script looks at and for words that are too long or not printable. Needs quote().

--@include shared/quote.lua

local function scope_of(fields)
  local kinds = {url = 'url', keys = 'key', all = 'all'}
  local out, seen = {}, {}
  local function add(word)
    if #word > 300 or word:find('[^%w%p]') then word = 'large' end
    if not seen[word] then out[#out + 1], seen[word] = quote(word), true end
  end
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if kinds[name] then add(kinds[name]) end
    if name == 'service' then add('service:' .. value) end
    if name == 'url' then
      local rest = value:gsub('^%a+://', '')
      add('host:' .. rest:match('^[^/?#]*'))
    end
  end
  return '[' .. table.concat(out, ',') .. ']'
end
