/* SPDX-License-Identifier: MIT */
#include "queue_scripts.h"

/* Rules that all of them keep.
 *
 * - Keys come as KEYS, all under one hash tag. Receipt keys, whose names hold a job id that may be
 *   known only from the entry, are put together from a prefix that comes as a key, too: same tag,
 * same slot.
 * - Out of memory must not stop the dispatch, which is what frees memory. Redis refuses commands
 * that may need memory (denyoom) only until a script has written something: "this is the first
 * write in the context of this script, otherwise we can't stop in the middle" (redis, src/script.c,
 *   scriptVerifyOOM; the same in 6.2, src/scripting.c). HDEL, XDEL and PEXPIRE are writes and not
 *   denyoom; on something that does not exist they change nothing. So a script that must go through
 *   begins with one of them (`unlock`). A disk that is full (MISCONF) refuses those as well, and so
 *   the whole script.
 * - The clock is Redis' own. Writing after TIME is allowed: since Redis 5 the effects of a script
 * are replicated, not the script.
 * - What is moved is written at its new place before it is removed at the old: a script that fails
 * in the middle is not rolled back. */

#define LUA_NOW                                                                                    \
    "local function now_ms()\n"                                                                    \
    "  local t = redis.call('TIME')\n"                                                             \
    "  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)\n"                         \
    "end\n"                                                                                        \
    "local function int(n) return string.format('%.0f', n) end\n"

/* The account's time of a booking; one written by hand has only Redis' clock in its id. */
#define LUA_WHEN                                                                                   \
    "local function when(e) return tonumber(e[2][4] or '') or tonumber(e[1]:match('^%d+')) end\n"

/* JSON strings out of any bytes: what is valid UTF-8 stays; a byte that is not becomes \u00XX, so
 * it reads as Latin-1, which it probably was. cjson.encode would pass it through and make the
 * document invalid. */
#define LUA_QUOTE                                                                                  \
    "local short = {[8]='\\\\b', [9]='\\\\t', [10]='\\\\n', [12]='\\\\f', [13]='\\\\r',\n"         \
    "  [34]='\\\\\"', [92]='\\\\\\\\'}\n"                                                          \
    "local function utf8_length(s, i, b)\n"                                                        \
    "  local c = s:byte(i + 1) or 0\n"                                                             \
    "  if b >= 0xC2 and b <= 0xDF then return (c >= 0x80 and c <= 0xBF) and 2 or 0 end\n"          \
    "  local low, high, n = 0x80, 0xBF, 0\n"                                                       \
    "  if b >= 0xE0 and b <= 0xEF then\n"                                                          \
    "    n = 3\n"                                                                                  \
    "    if b == 0xE0 then low = 0xA0 elseif b == 0xED then high = 0x9F end\n"                     \
    "  elseif b >= 0xF0 and b <= 0xF4 then\n"                                                      \
    "    n = 4\n"                                                                                  \
    "    if b == 0xF0 then low = 0x90 elseif b == 0xF4 then high = 0x8F end\n"                     \
    "  end\n"                                                                                      \
    "  if n == 0 or c < low or c > high then return 0 end\n"                                       \
    "  for k = i + 2, i + n - 1 do\n"                                                              \
    "    local d = s:byte(k) or 0\n"                                                               \
    "    if d < 0x80 or d > 0xBF then return 0 end\n"                                              \
    "  end\n"                                                                                      \
    "  return n\n"                                                                                 \
    "end\n"                                                                                        \
    "local function quote(s)\n"                                                                    \
    "  if not s:find('[^%w%p ]') and not s:find('[\"\\\\]') then return '\"' .. s .. '\"' end\n"   \
    "  local out, i = {'\"'}, 1\n"                                                                 \
    "  while i <= #s do\n"                                                                         \
    "    local b, n = s:byte(i), 1\n"                                                              \
    "    if b >= 0x80 then n = utf8_length(s, i, b) end\n"                                         \
    "    if n == 0 then out[#out + 1] = string.format('\\\\u%04x', b); n = 1\n"                    \
    "    elseif short[b] then out[#out + 1] = short[b]\n"                                          \
    "    elseif b < 32 or b == 127 then out[#out + 1] = string.format('\\\\u%04x', b)\n"           \
    "    else out[#out + 1] = s:sub(i, i + n - 1) end\n"                                           \
    "    i = i + n\n"                                                                              \
    "  end\n"                                                                                      \
    "  out[#out + 1] = '\"'\n"                                                                     \
    "  return table.concat(out)\n"                                                                 \
    "end\n"

/* KEYS urgent normal bulk. Answers per lane its length, or the words of a refusal. */
static const char lanes[] = "local out = {}\n"
                            "for i = 1, 3 do\n"
                            "  local r = redis.pcall('XLEN', KEYS[i])\n"
                            "  out[i] = type(r) == 'table' and r.err or r\n"
                            "end\n"
                            "return out\n";

/* KEYS urgent normal bulk. Answers per lane its length, the newest id it ever had, and 1 when that
 * entry is still there. */
static const char depth[] =
    QUEUE_LUA_NEWEST "local out = {}\n"
                     "for i = 1, 3 do\n"
                     "  local length, last = redis.call('XLEN', KEYS[i]), newest(KEYS[i])\n"
                     "  out[#out + 1] = length\n"
                     "  out[#out + 1] = last\n"
                     "  out[#out + 1] = length > 0 and there(KEYS[i], last) and 1 or 0\n"
                     "end\n"
                     "return out\n";

/* KEYS lease control status budget cancelled. ARGV owner ttl_ms usurp status, clock, wall, told,
 * digest. PEXPIRE goes first: it renews, and it is the unlocking write when there is no lease.
 *
 * Names of cancelled jobs stay on their list until the leader says that it has them: `told` of them
 * from the front, whose digest shows that they are still the same ones; an answer can be lost, and
 * the leader die. Answers leading, taken over, holder, its ms (-1: without end), paused, why, names
 * of cancelled jobs, their digest. */
static const char lead[] = LUA_NOW
    "local holder, taken = redis.call('GET', KEYS[1]) or '', 0\n"
    "if holder == ARGV[1] then\n"
    "  redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "elseif holder == '' or (ARGV[3] ~= '' and holder == ARGV[3]) then\n"
    "  redis.call('HDEL', KEYS[2], '')\n"
    "  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
    "  holder, taken = ARGV[1], 1\n"
    "end\n"
    "local leading = holder == ARGV[1] and 1 or 0\n"
    "if leading == 1 and ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4], 'EX', 5) end\n"
    "if leading == 1 and taken == 0 and ARGV[5] ~= '0' then\n"
    "  redis.call('HSET', KEYS[4], 'clock', ARGV[5], 'clock_at', int(now_ms()), 'clock_wall', "
    "ARGV[6])\n"
    "end\n"
    "local c = redis.call('HMGET', KEYS[2], 'paused', 'why')\n"
    "local function names(n) return redis.call('LRANGE', KEYS[5], 0, n - 1) end\n"
    "local function digest(list) return redis.sha1hex(table.concat(list, ' ')) end\n"
    "local gone, told = {}, tonumber(ARGV[7])\n"
    "if leading == 1 then\n"
    "  if told > 0 and digest(names(told)) == ARGV[8] then\n"
    "    redis.call('LTRIM', KEYS[5], told, -1)\n"
    "  end\n"
    "  gone = names(64)\n"
    "end\n"
    "return {leading, taken, holder, redis.call('PTTL', KEYS[1]),\n"
    "  c[1] == '1' and 1 or 0, c[2] or '', gone, digest(gone)}\n";

/* KEYS lease. ARGV owner. */
static const char release[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
    "return 0\n";

/* KEYS control. ARGV paused why by. */
static const char pause_[] =
    LUA_NOW "redis.call('HDEL', KEYS[1], '')\n"
            "return redis.call('HSET', KEYS[1], 'paused', ARGV[1], 'why', ARGV[2], 'by', ARGV[3],\n"
            "  'at', int(now_ms()))\n";

/* KEYS stream. ARGV lane, channel, ids. */
static const char drop[] =
    "local n = redis.call('XDEL', KEYS[1], unpack(ARGV, 3))\n"
    "if n > 0 then\n"
    "  local prefix = ARGV[1] .. '-'\n"
    "  redis.call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, 3))\n"
    "end\n"
    "return {n, 0}\n";

/* KEYS stream, receipt prefix. ARGV lane, channel, ttl_s, n, n ids, n counts of targets, unless
 * all are 1.
 *
 * All of them gone: it is repeated after a lost answer, and everything is done. Some gone (deleted
 * by hand): nobody can say which, and a receipt that is there is the true one, so the others get
 * theirs. Under OOM receipts are left out, since a backlog of them could be larger than the entries
 * they replace; SETRANGE with an empty value is how a script asks (denyoom, and it changes
 * nothing). Answers ended, receipts left out. */
static const char purged[] =
    LUA_NOW "local call, n = redis.call, tonumber(ARGV[4])\n"
            "local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')\n"
            "local oom = type(probe) == 'table' and probe.err and probe.err:find('OOM', 1, true)\n"
            "local ended = call('XDEL', KEYS[1], unpack(ARGV, 5, 4 + n))\n"
            "if ended == 0 then return {0, 0} end\n"
            "local prefix = ARGV[1] .. '-'\n"
            "call('PUBLISH', ARGV[2], prefix .. table.concat(ARGV, ' ' .. prefix, 5, 4 + n))\n"
            "if oom then return {ended, ended} end\n"
            "local key, ttl = KEYS[2] .. prefix, ARGV[3]\n"
            "local head = '{\"job\":\"' .. prefix\n"
            "local middle = '\",\"state\":\"purged\",\"at\":' .. int(now_ms()) .. ',\"targets\":'\n"
            "for i = 5, 4 + n do\n"
            "  local id = ARGV[i]\n"
            "  local text = head .. id .. middle .. (ARGV[n + i] or '1') .. '}'\n"
            "  if ended == n then call('SETEX', key .. id, ttl, text)\n"
            "  else call('SET', key .. id, text, 'NX', 'EX', ttl) end\n"
            "end\n"
            "return {ended, 0}\n";

/* How a receipt is written, and what a script that ends jobs knows: OOM is asked for by SETRANGE
 * with an empty value (see `purged`). */
#define LUA_RECEIPT                                                                                \
    LUA_NOW LUA_QUOTE "local call, lane, skipped = redis.call, ARGV[1], 0\n"                       \
                      "local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')\n"                    \
                      "local oom = type(probe) == 'table' and probe.err and\n"                     \
                      "  probe.err:find('OOM', 1, true)\n"                                         \
                      "call('XDEL', KEYS[1], '0-1')\n"                                             \
                      "local now = int(now_ms())\n"                                                \
                      "local function receipt(job, state, targets, ref, reason, scope)\n"          \
                      "  if oom then skipped = skipped + 1; return end\n"                          \
                      "  local text = '{\"job\":' .. quote(job) .. ',\"state\":\"' .. state ..\n"  \
                      "    '\",\"at\":' .. now .. ',\"targets\":' .. targets\n"                    \
                      "  if ref then text = text .. ',\"ref\":' .. quote(ref) end\n"               \
                      "  if reason ~= '' then\n"                                                   \
                      "    text = text .. ',\"reason\":' .. quote(reason)\n"                       \
                      "  end\n"                                                                    \
                      "  if ref or reason ~= '' then\n"                                            \
                      "    text = text .. ',\"scope\":' .. scope\n"                                \
                      "  end\n"                                                                    \
                      "  call('SETEX', KEYS[2] .. job, ARGV[3], text .. '}')\n"                    \
                      "end\n"                                                                      \
                      "local function unplace(job, own)\n"                                         \
                      "  if job ~= own and call('HGET', KEYS[5], job) == own then\n"               \
                      "    call('HDEL', KEYS[5], job)\n"                                           \
                      "  end\n"                                                                    \
                      "end\n"

/* What a producer must be allowed to purge to be shown ref and reason: a list of "url", "key",
 * "all", "service:<name>", "host:<host>"; "large" where nobody looks, or the word is odd. */
#define LUA_SCOPE                                                                                  \
    "local function scope_of(fields)\n"                                                            \
    "  local kinds = {url = 'url', keys = 'key', all = 'all'}\n"                                   \
    "  local out, seen = {}, {}\n"                                                                 \
    "  local function add(word)\n"                                                                 \
    "    if #word > 300 or word:find('[^%w%p]') then word = 'large' end\n"                         \
    "    if not seen[word] then out[#out + 1], seen[word] = quote(word), true end\n"               \
    "  end\n"                                                                                      \
    "  for i = 1, #fields, 2 do\n"                                                                 \
    "    local name, value = fields[i], fields[i + 1]\n"                                           \
    "    if kinds[name] then add(kinds[name]) end\n"                                               \
    "    if name == 'service' then add('service:' .. value) end\n"                                 \
    "    if name == 'url' then\n"                                                                  \
    "      local rest = value:gsub('^%a+://', '')\n"                                               \
    "      add('host:' .. rest:match('^[^/?#]*'))\n"                                               \
    "    end\n"                                                                                    \
    "  end\n"                                                                                      \
    "  return '[' .. table.concat(out, ',') .. ']'\n"                                              \
    "end\n"

/* KEYS stream, receipt prefix, postponed, postponed:jobs, places, dead. ARGV lane, channel, ttl_s,
 * wall_ms, then per item: id, outcome, receipt (0|1), targets, due_ms, reason, target. For entries
 * that are not large.
 *
 * A job that continues another (field `job`, written only when something comes back from
 * `postponed`) ends under that one's id. A repeat is a job of its own, "<id>+r", so that each job
 * has one receipt. A `repeat_after` of 0 is none: 0 is true in Lua.
 *
 * A postponed job is cmsgpack {lane, job, entry id, fields} under the job's id; when that is taken
 * (somebody wrote a `job` field by hand), under "<id>@<lane>-<entry id>". The entries are removed
 * together at the end, which costs Redis half as much; when one fails (a key of the wrong type),
 * those before it are removed and the failure told, so that repeating it all moves nothing twice.
 * Answers ended, receipts left out. */
static const char settle[] = LUA_RECEIPT LUA_SCOPE
    "local published, done, over = {}, {}, {}\n"
    "call('HLEN', KEYS[5])\n" /* whether it is one: later would be too late */
    "local function look(fields, own)\n"
    "  local job, ref, again = own, nil, nil\n"
    "  for i = 1, #fields, 2 do\n"
    "    local name, value = fields[i], fields[i + 1]\n"
    "    if name == 'ref' then ref = value\n"
    "    elseif name == 'repeat_after' and value:find('^%d+$') then\n"
    "      again = tonumber(value)\n"
    "      if again == 0 then again = nil end\n"
    "    elseif name == 'job' and #value <= 128 and not value:find('[^%w+-]') and value ~= '' "
    "then\n"
    "      job = value\n"
    "    end\n"
    "  end\n"
    "  return job, ref, again\n"
    "end\n"
    "local function postpone(fields, id, job, due, once)\n"
    "  local kept, name = {}, job\n"
    "  for i = 1, #fields, 2 do\n"
    "    local field = fields[i]\n"
    "    if field ~= 'job' and\n"
    "      not (once and (field == 'repeat_after' or field == 'not_before')) then\n"
    "      kept[#kept + 1] = field\n"
    "      kept[#kept + 1] = fields[i + 1]\n"
    "    end\n"
    "  end\n"
    "  if once then kept[#kept + 1] = 'not_before'; kept[#kept + 1] = due end\n"
    "  if call('ZSCORE', KEYS[3], name) then name = job .. '@' .. lane .. '-' .. id end\n"
    "  call('HSET', KEYS[4], name, cmsgpack.pack({lane, job, id, kept}))\n"
    "  call('ZADD', KEYS[3], due, name)\n"
    "end\n"
    "local function bury(fields, job, reason, target)\n"
    "  local copy = {}\n"
    "  for i = 1, #fields do copy[i] = fields[i] end\n"
    "  local n = #copy\n"
    "  copy[n + 1], copy[n + 2] = 'dead_reason', reason\n"
    "  copy[n + 3], copy[n + 4] = 'dead_job', job\n"
    "  copy[n + 5], copy[n + 6] = 'dead_at', now\n"
    "  copy[n + 7], copy[n + 8] = 'dead_target', target\n"
    "  call('XADD', KEYS[6], '*', unpack(copy))\n"
    "end\n"
    "local function finish(i)\n"
    "  local id, state, due = ARGV[i], ARGV[i + 1], ARGV[i + 4]\n"
    "  local entry = call('XRANGE', KEYS[1], id, id)[1]\n"
    "  if not entry or over[id] then return end\n"
    "  local fields, own = entry[2], lane .. '-' .. id\n"
    "  local job, ref, again = look(fields, own)\n"
    "  if state == 'dead' then bury(fields, job, ARGV[i + 5], ARGV[i + 6])\n"
    "  elseif state == 'later' then postpone(fields, id, job, due, false)\n"
    "  elseif state == 'purged' and again then\n"
    "    if due == '0' then due = int(tonumber(ARGV[4]) + again) end\n"
    "    postpone(fields, id, job .. '+r', due, true)\n"
    "  end\n"
    "  unplace(job, own)\n"
    "  done[#done + 1], over[id] = id, true\n"
    "  if state == 'later' then return end\n"
    "  published[#published + 1] = job\n"
    "  if ARGV[i + 2] == '1' then\n"
    "    receipt(job, state, ARGV[i + 3], ref, ARGV[i + 5], scope_of(fields))\n"
    "  end\n"
    "end\n"
    "local ok, err = true, nil\n"
    "for i = 5, #ARGV, 7 do\n"
    "  ok, err = pcall(finish, i)\n"
    "  if not ok then break end\n"
    "end\n"
    "if #done > 0 then call('XDEL', KEYS[1], unpack(done)) end\n"
    "if #published > 0 then call('PUBLISH', ARGV[2], table.concat(published, ' ')) end\n"
    "if not ok then return type(err) == 'table' and err or redis.error_reply(err) end\n"
    "return {#done, skipped}\n";

/* KEYS as those of `settle`. ARGV lane, channel, ttl_s, id, receipt (0|1), reason, then the fields
 * that the letter keeps. The entry is not looked at: handing it to Lua would take long. So the
 * letter is written first and taken back when there was no such entry. */
static const char oversized[] = LUA_RECEIPT
    "local id, reason = ARGV[4], ARGV[6]\n"
    "local job, ref, letter = lane .. '-' .. id, nil, {}\n"
    "call('HLEN', KEYS[5])\n" /* whether it is one: later would be too late */
    "for i = 7, #ARGV - 1, 2 do\n"
    "  local name, value = ARGV[i], ARGV[i + 1]\n"
    "  letter[#letter + 1] = name\n"
    "  letter[#letter + 1] = value\n"
    "  if name == 'ref' then ref = value\n"
    "  elseif name == 'job' and #value <= 128 and not value:find('[^%w+-]') and value ~= '' then\n"
    "    job = value\n"
    "  end\n"
    "end\n"
    "local n = #letter\n"
    "letter[n + 1], letter[n + 2] = 'dead_reason', reason\n"
    "letter[n + 3], letter[n + 4] = 'dead_job', job\n"
    "letter[n + 5], letter[n + 6] = 'dead_at', now\n"
    "letter[n + 7], letter[n + 8] = 'dead_target', ''\n"
    "local written = call('XADD', KEYS[6], '*', unpack(letter))\n"
    "if call('XDEL', KEYS[1], id) == 0 then\n"
    "  call('XDEL', KEYS[6], written)\n"
    "  return {0, 0}\n"
    "end\n"
    "unplace(job, lane .. '-' .. id)\n"
    "call('PUBLISH', ARGV[2], job)\n"
    "if ARGV[5] == '1' then receipt(job, 'dead', 0, ref, reason, '[\"large\"]') end\n"
    "return {1, skipped}\n";

/* KEYS as those of `settle`. ARGV lane, channel, ttl_s, id, outcome, receipt (0|1), targets,
 * reason, job, has_ref (0|1), ref, name, due_ms.
 *
 * The end of a large entry: its dead letter is written already, or what is put off is in
 * postponed:jobs under `name`. The first three ask whether the keys are of their type: nothing can
 * fail after the entry is gone. Answers ended, receipts left out. */
static const char end_large[] = LUA_RECEIPT
    "call('ZCARD', KEYS[3])\n"
    "call('HLEN', KEYS[4])\n"
    "call('HLEN', KEYS[5])\n"
    "local id, state, job, name = ARGV[4], ARGV[5], ARGV[9], ARGV[12]\n"
    "local own = lane .. '-' .. id\n"
    "if call('XDEL', KEYS[1], id) == 0 then\n"
    "  if name ~= '' and not call('ZSCORE', KEYS[3], name) then call('HDEL', KEYS[4], name) end\n"
    "  return {0, 0}\n"
    "end\n"
    "if name ~= '' then call('ZADD', KEYS[3], ARGV[13], name) end\n"
    "unplace(job, own)\n"
    "if state ~= 'later' then\n"
    "  call('PUBLISH', ARGV[2], job)\n"
    "  if ARGV[6] == '1' then\n"
    "    receipt(job, state, ARGV[7], ARGV[10] == '1' and ARGV[11] or nil, ARGV[8],\n"
    "      '[\"large\"]')\n"
    "  end\n"
    "end\n"
    "return {1, skipped}\n";

/* KEYS key. ARGV command, arguments. A plain command that goes through without memory. */
static const char write_[] = "redis.call('XDEL', KEYS[1], '0-1')\n"
                             "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))\n";

/* The same where the key is a hash. */
static const char write_hash[] = "redis.call('HDEL', KEYS[1], '')\n"
                                 "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))\n";

/* KEYS postponed, postponed:jobs, places, dead, urgent, normal, bulk. ARGV wall_ms, limit, small
 * (bytes), most fields. What is none of ours becomes a dead letter. Answers moved, score of the
 * next ('' when none), then the names of large ones; it stops where it has done enough for once. */
static const char due[] =
    LUA_NOW "local call, moved, large, bytes = redis.call, 0, {}, 0\n"
            "local lanes = {urgent = KEYS[5], normal = KEYS[6], bulk = KEYS[7]}\n"
            "call('XDEL', KEYS[5], '0-1')\n"
            "local function understood(packed)\n"
            "  local ok, m = pcall(cmsgpack.unpack, packed)\n"
            "  if not ok or type(m) ~= 'table' or not lanes[m[1]] or type(m[2]) ~= 'string' or\n"
            "    type(m[4]) ~= 'table' or #m[4] % 2 ~= 0 then return nil end\n"
            "  for i = 1, #m[4] do if type(m[4][i]) ~= 'string' then return nil end end\n"
            "  return m\n"
            "end\n"
            "local function back(name, packed)\n"
            "  local m = understood(packed)\n"
            "  if not m then\n"
            "    call('XADD', KEYS[4], '*', 'later', packed or name,\n"
            "      'dead_reason', 'later: not readable',\n"
            "      'dead_job', '', 'dead_at', int(now_ms()), 'dead_target', '')\n"
            "  elseif #m[4] > tonumber(ARGV[4]) then\n"
            "    large[#large + 1] = name\n"
            "    return\n"
            "  else\n"
            "    local fields = m[4]\n"
            "    fields[#fields + 1] = 'job'\n"
            "    fields[#fields + 1] = m[2]\n"
            "    local id = call('XADD', lanes[m[1]], '*', unpack(fields))\n"
            "    call('HSET', KEYS[3], m[2], m[1] .. '-' .. id)\n"
            "    moved = moved + 1\n"
            "  end\n"
            "  call('ZREM', KEYS[1], name)\n"
            "  call('HDEL', KEYS[2], name)\n"
            "end\n"
            "local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])\n"
            "for i = 1, #due do\n"
            "  local size = call('HSTRLEN', KEYS[2], due[i])\n"
            "  bytes = bytes + size\n"
            "  if size > tonumber(ARGV[3]) then large[#large + 1] = due[i]\n"
            "  else back(due[i], call('HGET', KEYS[2], due[i])) end\n"
            "  if #large == 4 or bytes > 131072 then break end\n"
            "end\n"
            "local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')\n"
            "local out = {moved, first[2] and int(tonumber(first[2])) or ''}\n"
            "for i = 1, #large do out[i + 2] = large[i] end\n"
            "return out\n";

/* KEYS postponed, postponed:jobs, places, stream. ARGV name, job, place, entry id. A large one is
 * in its lane again; when it was cancelled meanwhile it goes from there. */
static const char returned[] = "redis.call('HDEL', KEYS[2], ARGV[1])\n"
                               "if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then\n"
                               "  redis.call('XDEL', KEYS[4], ARGV[4])\n"
                               "  return 0\n"
                               "end\n"
                               "redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])\n"
                               "return 1\n";

/* KEYS later, postponed, postponed:jobs, dead. ARGV per member: score, name, another name, member.
 * What version 0.1.0 postponed has the whole job as the member of a sorted set. A name that is
 * empty: not readable. */
static const char adopt[] = LUA_NOW
    "local call = redis.call\n"
    "call('HDEL', KEYS[3], '')\n"
    "for i = 1, #ARGV, 4 do\n"
    "  local name, member = ARGV[i + 1], ARGV[i + 3]\n"
    "  if call('ZSCORE', KEYS[1], member) then\n"
    "    if name == '' then\n"
    "      call('XADD', KEYS[4], '*', 'later', member, 'dead_reason', 'later: not readable',\n"
    "        'dead_job', '', 'dead_at', int(now_ms()), 'dead_target', '')\n"
    "    else\n"
    "      if call('ZSCORE', KEYS[2], name) then name = ARGV[i + 2] end\n"
    "      call('HSET', KEYS[3], name, member)\n"
    "      call('ZADD', KEYS[2], ARGV[i], name)\n"
    "    end\n"
    "    call('ZREM', KEYS[1], member)\n"
    "  end\n"
    "end\n"
    "return call('ZCARD', KEYS[1])\n";

/* KEYS lease budget spent. ARGV owner k seq open booked book level window_ms clock wall.
 *
 * Totals, not differences, so that repeating an operation whose reply was lost books nothing twice:
 * `open` is what is open after it, `booked` all that this owner booked since it took over, `book`
 * this operation's part of that. `seq` keeps a repeated script from overtaking a later one. Answers
 * 1, or 0 when the lease is not ours, or was another's in between: what that one spent we do not
 * know.
 *
 * Trimmed by the account's time, which ids do not show: seldom, and then many at once. */
static const char spend[] = LUA_NOW LUA_WHEN
    "local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'\n"
    "if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
    "local h = call('HMGET', budget, k .. 'owner', k .. 'seq', k .. 'booked')\n"
    "if h[1] and h[1] ~= ARGV[1] then return 0 end\n"
    "call('HDEL', budget, '')\n"
    "local now, clock, cost, booked = now_ms(), tonumber(ARGV[9]), tonumber(ARGV[6]), ARGV[5]\n"
    "if h[1] then\n"
    "  if tonumber(ARGV[3]) <= tonumber(h[2] or 0) then return 1 end\n"
    "  cost = tonumber(ARGV[5]) - tonumber(h[3] or 0)\n"
    "  if cost < 0 then booked = h[3] end\n"
    "end\n"
    "local function trim(from)\n"
    "  local first, last = call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1], nil\n"
    "  if when(first) >= from - tonumber(ARGV[8]) / 16 then return end\n"
    "  for _, e in ipairs(call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1000)) do\n"
    "    if when(e) >= from then break end\n"
    "    last = e[1]\n"
    "  end\n"
    "  call('XTRIM', KEYS[3], 'MINID', last)\n"
    "end\n"
    "if cost > 0 then\n"
    "  call('XADD', KEYS[3], '*', 'c', int(cost), 't', ARGV[9])\n"
    "  trim(clock - tonumber(ARGV[8]))\n"
    "end\n"
    "call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[3], k .. 'open', ARGV[4],\n"
    "  k .. 'booked', booked, k .. 'level', ARGV[7], k .. 'level_at', int(now),\n"
    "  'clock', ARGV[9], 'clock_at', int(now), 'clock_wall', ARGV[10])\n"
    "return 1\n";

/* KEYS lease budget spent. ARGV owner k seq late_ms clock wall. Answers 0 when the lease is not
 * ours, otherwise 1, known, level, its age in ms, the account's time. A take-over alone leaves a
 * hash without a level: the bucket is as full as that of a new account. */
static const char restore[] = LUA_NOW
    "local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'\n"
    "if call('GET', KEYS[1]) ~= ARGV[1] then return {0} end\n"
    "call('HDEL', budget, '')\n"
    "local h = call('HMGET', budget, k .. 'open', k .. 'level', k .. 'level_at', 'clock',\n"
    "  'clock_at', 'clock_wall')\n"
    "local now, open = now_ms(), math.max(0, tonumber(h[1] or 0))\n"
    "local clock = now\n"
    "if h[4] and h[5] and h[6] then\n"
    "  local gap = math.min(now - tonumber(h[5]), tonumber(ARGV[6]) - tonumber(h[6]))\n"
    "  clock = tonumber(h[4]) + math.max(0, gap)\n"
    "end\n"
    "if ARGV[5] ~= '0' then clock = math.min(clock, tonumber(ARGV[5])) end\n"
    "if open > 0 then\n"
    "  call('XADD', KEYS[3], '*', 'c', int(open), 't', int(clock + tonumber(ARGV[4])))\n"
    "end\n"
    "call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[3], k .. 'open', '0',\n"
    "  k .. 'booked', '0', 'clock', int(clock), 'clock_at', int(now), 'clock_wall', ARGV[6])\n"
    "return {1, h[2] and 1 or 0, h[2] or '0',\n"
    "  int(math.max(0, now - tonumber(h[3] or now))), int(clock)}\n";

/* KEYS in the order of queue_examined_keys. Answers key, what is wrong with it, for each fault.
 * What the user may not look at is passed over. An entry beyond 2^48 is looked for only where it
 * can be found without reading others; an empty stream remembers its last id. */
static const char examine[] =
    "local kinds = {'stream', 'stream', 'stream', 'stream', 'zset', 'string', 'hash', 'stream',\n"
    "  'stream', 'stream', 'hash', 'list', 'zset', 'hash', 'hash'}\n"
    "local out, call, is = {}, redis.pcall, {}\n"
    "local function fault(i, what) out[#out + 1] = KEYS[i]; out[#out + 1] = what end\n"
    "for i = 1, #kinds do\n"
    "  is[i] = call('TYPE', KEYS[i]).ok or 'none'\n"
    "  if is[i] ~= 'none' and is[i] ~= kinds[i] then\n"
    "    fault(i, 'holds a ' .. is[i] .. ' where a ' .. kinds[i] .. ' belongs')\n"
    "    is[i] = 'none'\n"
    "  end\n"
    "end\n"
    "local function last_id(key)\n"
    "  local info = call('XINFO', 'STREAM', key)\n"
    "  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end\n"
    "  return '0-0'\n"
    "end\n"
    "for i = 1, 3 do\n"
    "  if is[i] == 'stream' then\n"
    "    local beyond = call('XRANGE', KEYS[i], '281474976710656', '+', 'COUNT', 1)\n"
    "    if #beyond > 0 or (call('XLEN', KEYS[i]) == 0 and\n"
    "      tonumber(last_id(KEYS[i]):match('^%d+')) >= 281474976710656) then\n"
    "      fault(i, 'has an entry id beyond any clock: all its later jobs are malformed')\n"
    "    end\n"
    "  end\n"
    "end\n"
    "if is[6] == 'string' and call('PTTL', KEYS[6]) == -1 then\n"
    "  fault(6, 'never expires: nobody can take over from its holder')\n"
    "end\n"
    "if is[7] == 'hash' then\n"
    "  local names = {'clock', 'clock_at', 'clock_wall'}\n"
    "  for _, k in ipairs({'purge', 'url', 'write'}) do\n"
    "    for _, f in ipairs({'open', 'level', 'level_at', 'seq', 'booked'}) do\n"
    "      names[#names + 1] = k .. ':' .. f\n"
    "    end\n"
    "  end\n"
    "  local values = call('HMGET', KEYS[7], unpack(names))\n"
    "  for i = 1, #names do\n"
    "    if values[i] and not values[i]:find('^%d+$') then\n"
    "      fault(7, 'has a field ' .. names[i] .. ' that is no number')\n"
    "      break\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return out\n";

const char *const queue_scripts[SCRIPT_N] = {
    [SCRIPT_LANES] = lanes,       [SCRIPT_DEPTH] = depth,           [SCRIPT_LEAD] = lead,
    [SCRIPT_RELEASE] = release,   [SCRIPT_PAUSE] = pause_,          [SCRIPT_DROP] = drop,
    [SCRIPT_PURGED] = purged,     [SCRIPT_SETTLE] = settle,         [SCRIPT_END_LARGE] = end_large,
    [SCRIPT_WRITE] = write_,      [SCRIPT_WRITE_HASH] = write_hash, [SCRIPT_DUE] = due,
    [SCRIPT_RETURNED] = returned, [SCRIPT_ADOPT] = adopt,           [SCRIPT_SPEND] = spend,
    [SCRIPT_RESTORE] = restore,   [SCRIPT_OVERSIZED] = oversized,   [SCRIPT_EXAMINE] = examine,
};
