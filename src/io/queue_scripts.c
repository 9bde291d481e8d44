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
#define LUA_WHEN "local function when(e) return tonumber(e[2][4] or e[1]:match('^%d+')) end\n"

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

/* KEYS urgent normal bulk. ARGV the last ids read. Answers per lane its length, 1 when something is
 * newer, and the newest id it ever had. */
static const char depth[] =
    "local out = {}\n"
    "for i = 1, 3 do\n"
    "  local last, info = '0-0', redis.pcall('XINFO', 'STREAM', KEYS[i])\n"
    "  for k = 1, #info, 2 do if info[k] == 'last-generated-id' then last = info[k + 1] end end\n"
    "  out[#out + 1] = redis.call('XLEN', KEYS[i])\n"
    "  out[#out + 1] = #redis.call('XRANGE', KEYS[i], '(' .. ARGV[i], '+', 'COUNT', 1)\n"
    "  out[#out + 1] = last\n"
    "end\n"
    "return out\n";

/* KEYS lease control status budget cancelled. ARGV owner ttl_ms usurp status, clock, wall. PEXPIRE
 * goes first: it renews, and it is the unlocking write when there is no lease. Answers leading,
 * taken over, holder, its ms (-1: without end), paused, why, names of cancelled jobs. */
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
    "local gone = leading == 1 and redis.call('LPOP', KEYS[5], 64) or {}\n"
    "return {leading, taken, holder, redis.call('PTTL', KEYS[1]),\n"
    "  c[1] == '1' and 1 or 0, c[2] or '', gone}\n";

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

/* KEYS stream, receipt prefix, dead, later. ARGV lane, channel, ttl_s, most fields, then per item:
 * id, outcome, receipt (0|1), targets, due_ms, reason, target.
 *
 * A job that continues another (field `job`, written only when something comes back from `later`)
 * ends under that one's id. A repeat is a job of its own, "<id>+r", so that each job has one
 * receipt.
 *
 * A member of `later` is cmsgpack {lane, job, entry id, fields}: the entry id keeps two entries
 * apart that are otherwise the same. The entries are removed together at the end, which costs Redis
 * half as much; when one fails (a key of the wrong type), those before it are removed and the
 * failure told, so that repeating it all moves nothing twice. Outcome `buried`: dead, and the
 * letter is written already. Answers ended, receipts left out, then the dead entries with too many
 * fields for Lua, each as id, receipt, targets, reason, target, job. */
static const char settle[] = LUA_NOW LUA_QUOTE
    "local call, lane, ended, skipped, published = redis.call, ARGV[1], 0, 0, {}\n"
    "local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')\n"
    "local oom = type(probe) == 'table' and probe.err and probe.err:find('OOM', 1, true)\n"
    "call('XDEL', KEYS[1], '0-1')\n"
    "local now, most, large, done = int(now_ms()), tonumber(ARGV[4]), {}, {}\n"
    "local function look(fields, id)\n"
    "  local own = lane .. '-' .. id\n"
    "  local job, ref, again = own, nil, nil\n"
    "  for i = 1, #fields, 2 do\n"
    "    local name, value = fields[i], fields[i + 1]\n"
    "    if name == 'ref' then ref = value\n"
    "    elseif name == 'repeat_after' then again = tonumber(value)\n"
    "    elseif name == 'job' and #value <= 128 and not value:find('[^%w+-]') and value ~= '' "
    "then\n"
    "      job = value\n"
    "    end\n"
    "  end\n"
    "  return job, ref, again\n"
    "end\n"
    "local function postpone(fields, id, job, due, once)\n"
    "  local kept = {}\n"
    "  for i = 1, #fields, 2 do\n"
    "    local name = fields[i]\n"
    "    if name ~= 'job' and not (once and (name == 'repeat_after' or name == 'not_before')) "
    "then\n"
    "      kept[#kept + 1] = name\n"
    "      kept[#kept + 1] = fields[i + 1]\n"
    "    end\n"
    "  end\n"
    "  if once then kept[#kept + 1] = 'not_before'; kept[#kept + 1] = due end\n"
    "  call('ZADD', KEYS[4], due, cmsgpack.pack({lane, job, id, kept}))\n"
    "end\n"
    "local function bury(fields, job, reason, target)\n"
    "  local copy = {}\n"
    "  for i = 1, #fields do copy[i] = fields[i] end\n"
    "  local n = #copy\n"
    "  copy[n + 1], copy[n + 2] = 'dead_reason', reason\n"
    "  copy[n + 3], copy[n + 4] = 'dead_job', job\n"
    "  copy[n + 5], copy[n + 6] = 'dead_at', now\n"
    "  copy[n + 7], copy[n + 8] = 'dead_target', target\n"
    "  call('XADD', KEYS[3], '*', unpack(copy))\n"
    "end\n"
    "local function receipt(job, state, targets, ref, reason)\n"
    "  if oom then skipped = skipped + 1; return end\n"
    "  local text = '{\"job\":' .. quote(job) .. ',\"state\":\"' .. state .. '\",\"at\":' .. now "
    "..\n"
    "    ',\"targets\":' .. targets\n"
    "  if ref then text = text .. ',\"ref\":' .. quote(ref) end\n"
    "  if reason ~= '' then text = text .. ',\"reason\":' .. quote(reason) end\n"
    "  call('SETEX', KEYS[2] .. job, ARGV[3], text .. '}')\n"
    "end\n"
    "local function finish(i)\n"
    "  local id, state, due = ARGV[i], ARGV[i + 1], ARGV[i + 4]\n"
    "  local entry = call('XRANGE', KEYS[1], id, id)[1]\n"
    "  if not entry then return end\n"
    "  local fields = entry[2]\n"
    "  local job, ref, again = look(fields, id)\n"
    "  if state == 'buried' then state = 'dead'\n"
    "  elseif state == 'dead' then\n"
    "    if #fields > most then\n"
    "      large[#large + 1] = {id, ARGV[i + 2], ARGV[i + 3], ARGV[i + 5], ARGV[i + 6], job}\n"
    "      return\n"
    "    end\n"
    "    bury(fields, job, ARGV[i + 5], ARGV[i + 6])\n"
    "  elseif state == 'later' then postpone(fields, id, job, due, false)\n"
    "  elseif state == 'purged' and again then\n"
    "    if due == '0' then due = int(tonumber(ARGV[5]) + again) end\n"
    "    postpone(fields, id, job .. '+r', due, true)\n"
    "  end\n"
    "  done[#done + 1] = id\n"
    "  ended = ended + 1\n"
    "  if state == 'later' then return end\n"
    "  published[#published + 1] = job\n"
    "  if ARGV[i + 2] == '1' then receipt(job, state, ARGV[i + 3], ref, ARGV[i + 5]) end\n"
    "end\n"
    "local ok, err = true, nil\n"
    "for i = 6, #ARGV, 7 do\n"
    "  ok, err = pcall(finish, i)\n"
    "  if not ok then break end\n"
    "end\n"
    "if #done > 0 then call('XDEL', KEYS[1], unpack(done)) end\n"
    "if #published > 0 then call('PUBLISH', ARGV[2], table.concat(published, ' ')) end\n"
    "if not ok then return type(err) == 'table' and err or redis.error_reply(err) end\n"
    "local out = {ended, skipped}\n"
    "for i = 1, #large do out[i + 2] = large[i] end\n"
    "return out\n";

/* KEYS stream, receipt prefix, dead. ARGV lane, channel, ttl_s, id, receipt (0|1), reason, then the
 * fields that the letter keeps. The entry is not looked at: handing it to Lua would take long.
 * So the letter is written first and taken back when there was no such entry. */
static const char oversized[] = LUA_NOW LUA_QUOTE
    "local call, id, reason = redis.call, ARGV[4], ARGV[6]\n"
    "local probe = redis.pcall('SETRANGE', KEYS[2], 0, '')\n"
    "local oom = type(probe) == 'table' and probe.err and probe.err:find('OOM', 1, true)\n"
    "call('XDEL', KEYS[1], '0-1')\n"
    "local job, ref, letter = ARGV[1] .. '-' .. id, nil, {}\n"
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
    "letter[n + 5], letter[n + 6] = 'dead_at', int(now_ms())\n"
    "letter[n + 7], letter[n + 8] = 'dead_target', ''\n"
    "local written = call('XADD', KEYS[3], '*', unpack(letter))\n"
    "if call('XDEL', KEYS[1], id) == 0 then\n"
    "  call('XDEL', KEYS[3], written)\n"
    "  return {0, 0}\n"
    "end\n"
    "call('PUBLISH', ARGV[2], job)\n"
    "if ARGV[5] ~= '1' then return {1, 0} end\n"
    "if oom then return {1, 1} end\n"
    "local text = '{\"job\":' .. quote(job) .. ',\"state\":\"dead\",\"at\":' .. int(now_ms()) ..\n"
    "  ',\"targets\":0'\n"
    "if ref then text = text .. ',\"ref\":' .. quote(ref) end\n"
    "call('SETEX', KEYS[2] .. job, ARGV[3], text .. ',\"reason\":' .. quote(reason) .. '}')\n"
    "return {1, 0}\n";

/* KEYS later, dead, urgent, normal, bulk. ARGV wall_ms limit, most fields. A member that is none of
 * ours becomes a dead letter. Answers moved, score of the next ('' when none), then members with
 * too many fields for Lua, each as member, lane, fields. */
static const char due[] = LUA_NOW
    "local call, moved, large = redis.call, 0, {}\n"
    "local lanes = {urgent = KEYS[3], normal = KEYS[4], bulk = KEYS[5]}\n"
    "call('XDEL', KEYS[3], '0-1')\n"
    "local function understood(member)\n"
    "  local ok, m = pcall(cmsgpack.unpack, member)\n"
    "  if not ok or type(m) ~= 'table' or not lanes[m[1]] or type(m[2]) ~= 'string' or\n"
    "    type(m[4]) ~= 'table' or #m[4] % 2 ~= 0 then return nil end\n"
    "  for i = 1, #m[4] do if type(m[4][i]) ~= 'string' then return nil end end\n"
    "  return m\n"
    "end\n"
    "local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])\n"
    "for i = 1, #due do\n"
    "  local m, member = understood(due[i]), due[i]\n"
    "  if not m then\n"
    "    call('XADD', KEYS[2], '*', 'later', member, 'dead_reason', 'later: not readable',\n"
    "      'dead_job', '', 'dead_at', int(now_ms()), 'dead_target', '')\n"
    "    call('ZREM', KEYS[1], member)\n"
    "  else\n"
    "    local fields = m[4]\n"
    "    fields[#fields + 1] = 'job'\n"
    "    fields[#fields + 1] = m[2]\n"
    "    if #fields > tonumber(ARGV[3]) then\n"
    "      large[#large + 1] = {member, m[1], fields}\n"
    "      break\n"
    "    else\n"
    "      call('XADD', lanes[m[1]], '*', unpack(fields))\n"
    "      call('ZREM', KEYS[1], member)\n"
    "      moved = moved + 1\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')\n"
    "local out = {moved, first[2] and int(tonumber(first[2])) or ''}\n"
    "for i = 1, #large do out[i + 2] = large[i] end\n"
    "return out\n";

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

/* KEYS lease budget spent. ARGV owner k window_ms seq late_ms clock wall. Answers 0 when the lease
 * is not ours, otherwise 1, known, level, its age in ms, the account's time, then age in ms and
 * cost of each booking. A take-over alone leaves a hash without a level: the bucket is as full as
 * that of a new account. */
static const char restore[] = LUA_NOW LUA_WHEN
    "local call, budget, k = redis.call, KEYS[2], ARGV[2] .. ':'\n"
    "if call('GET', KEYS[1]) ~= ARGV[1] then return {0} end\n"
    "call('HDEL', budget, '')\n"
    "local h = call('HMGET', budget, k .. 'open', k .. 'level', k .. 'level_at', 'clock',\n"
    "  'clock_at', 'clock_wall')\n"
    "local now, open = now_ms(), math.max(0, tonumber(h[1] or 0))\n"
    "local clock = now\n"
    "if h[4] and h[5] and h[6] then\n"
    "  local gap = math.min(now - tonumber(h[5]), tonumber(ARGV[7]) - tonumber(h[6]))\n"
    "  clock = tonumber(h[4]) + math.max(0, gap)\n"
    "end\n"
    "if ARGV[6] ~= '0' then clock = math.min(clock, tonumber(ARGV[6])) end\n"
    "if open > 0 then\n"
    "  call('XADD', KEYS[3], '*', 'c', int(open), 't', int(clock + tonumber(ARGV[5])))\n"
    "end\n"
    "call('HSET', budget, k .. 'owner', ARGV[1], k .. 'seq', ARGV[4], k .. 'open', '0',\n"
    "  k .. 'booked', '0', 'clock', int(clock), 'clock_at', int(now), 'clock_wall', ARGV[7])\n"
    "local out = {1, h[2] and 1 or 0, h[2] or '0',\n"
    "  int(math.max(0, now - tonumber(h[3] or now))), int(clock)}\n"
    "for _, e in ipairs(call('XRANGE', KEYS[3], '-', '+')) do\n"
    "  local age = clock - when(e)\n"
    "  if age <= tonumber(ARGV[3]) then\n"
    "    out[#out + 1] = int(age)\n"
    "    out[#out + 1] = e[2][2]\n"
    "  end\n"
    "end\n"
    "return out\n";

const char *const queue_scripts[SCRIPT_N] = {
    [SCRIPT_LANES] = lanes,     [SCRIPT_DEPTH] = depth,   [SCRIPT_LEAD] = lead,
    [SCRIPT_RELEASE] = release, [SCRIPT_PAUSE] = pause_,  [SCRIPT_DROP] = drop,
    [SCRIPT_PURGED] = purged,   [SCRIPT_SETTLE] = settle, [SCRIPT_OVERSIZED] = oversized,
    [SCRIPT_DUE] = due,         [SCRIPT_SPEND] = spend,   [SCRIPT_RESTORE] = restore,
};
