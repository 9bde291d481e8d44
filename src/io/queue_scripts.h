/* SPDX-License-Identifier: MIT
 * The Lua that runs inside Redis: whatever must happen whole or not at all. One text per script, in
 * queue_scripts.c, and the table of them. */
#pragma once

#include "base.h"

enum queue_script {
    SCRIPT_LANES,      /* can the lanes be read? */
    SCRIPT_DEPTH,      /* how much is in them */
    SCRIPT_LEAD,       /* take or renew the lease, read control, publish status */
    SCRIPT_RELEASE,    /* drop the lease */
    SCRIPT_PAUSE,      /* write control */
    SCRIPT_DROP,       /* the end of plain purged jobs, no receipts */
    SCRIPT_PURGED,     /* the end of plain purged jobs, with receipts */
    SCRIPT_SETTLE,     /* the end of any job that is not large, one entry looked up at a time */
    SCRIPT_END_LARGE,  /* the last step of a large one's end */
    SCRIPT_OVERSIZED,  /* the end of an entry that is too large to look at */
    SCRIPT_WRITE,      /* a command that is to go through without memory ... */
    SCRIPT_WRITE_HASH, /* ... on a hash */
    SCRIPT_DUE,        /* from postponed back to the lanes */
    SCRIPT_RETURNED,   /* the last step of a large one's way back */
    SCRIPT_ADOPT,      /* what version 0.1.0 postponed */
    SCRIPT_SPEND,      /* the ledger's durable half */
    SCRIPT_RESTORE,    /* what the ledger held */
    SCRIPT_EXAMINE,    /* keys of the wrong type, values that are no numbers */
    SCRIPT_N
};

extern const char *const queue_scripts[SCRIPT_N];

/* Larger commands than these are sent plain: a script would hold Redis too long (and Lua hands on
 * at most some 8,000 arguments: LUAI_MAXCSTACK). */
#define QUEUE_SCRIPT_ARGS_MAX 2000
#define QUEUE_SCRIPT_BYTES_MAX (256 * 1024)

/* For scripts: is this entry there? XRANGE would answer the whole of it, which can be 80 MB. XCLAIM
 * with FORCE answers ids alone, of entries that exist, and wants a group; nobody reads by that one,
 * and its list of claims is empty again at once. XGROUP CREATE needs memory, so something that does
 * not comes before it. https://redis.io/docs/latest/commands/xclaim/ */
#define QUEUE_LUA_THERE                                                                            \
    "local function grouped(key, command, ...)\n"                                                  \
    "  if redis.call('EXISTS', key) == 0 then return nil end\n"                                    \
    "  local r = redis.pcall(command, ...)\n"                                                      \
    "  if type(r) ~= 'table' or not r.err then return r end\n"                                     \
    "  if not r.err:find('NOGROUP', 1, true) then error(r.err) end\n"                              \
    "  redis.call('XDEL', key, '0-1')\n"                                                           \
    "  redis.call('XGROUP', 'CREATE', key, 'purgeline', '0')\n"                                    \
    "  return redis.call(command, ...)\n"                                                          \
    "end\n"                                                                                        \
    "local function there(key, id)\n"                                                              \
    "  local r = grouped(key, 'XCLAIM', key, 'purgeline', 'look', 0, id, 'FORCE', 'JUSTID')\n"     \
    "  if not r or #r == 0 then return false end\n"                                                \
    "  redis.call('XACK', key, 'purgeline', id)\n"                                                 \
    "  return true\n"                                                                              \
    "end\n"

/* The newest id that a stream ever had. XINFO STREAM would answer the first and the last entry as
 * well, whatever their size; a group that is set to the end of the stream says where that is. */
#define QUEUE_LUA_NEWEST                                                                           \
    QUEUE_LUA_THERE                                                                                \
    "local function newest(key)\n"                                                                 \
    "  if not grouped(key, 'XGROUP', 'SETID', key, 'purgeline', '$') then return '0-0' end\n"      \
    "  for _, g in ipairs(redis.call('XINFO', 'GROUPS', key)) do\n"                                \
    "    local fields = {}\n"                                                                      \
    "    for k = 1, #g, 2 do fields[g[k]] = g[k + 1] end\n"                                        \
    "    if fields.name == 'purgeline' then return fields['last-delivered-id'] end\n"              \
    "  end\n"                                                                                      \
    "  return '0-0'\n"                                                                             \
    "end\n"
