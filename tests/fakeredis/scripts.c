/* SPDX-License-Identifier: MIT
 * Scripts in Lua 5.1, the language that Redis has, with what Redis gives them:
 * https://redis.io/docs/latest/develop/programmability/lua-api/ */
#include <inttypes.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

#define SHA_ROOM 41
#define SOURCE "@user_script"

/* Of the script that runs; in Lua's registry under the address of this. */
struct running {
    struct ask *ask;
    bool dirty; /* it has written: Redis no longer refuses it memory */
};
static const char running_key;

static void sha1hex(struct span s, char out[SHA_ROOM])
{
    static const char digits[] = "0123456789abcdef";
    static EVP_MD *sha1; /* looking it up takes longer than the digest */
    unsigned char digest[20];

    if (!sha1)
        sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    must(EVP_Digest(s.p, s.n, digest, NULL, sha1, NULL) == 1);
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SHA_ROOM - 1] = '\0';
}

/* -- from an answer to Lua -- */

static struct span take_line(struct span *rest)
{
    const char *end = memchr(rest->p, '\r', rest->n);
    struct span line;

    must(end);
    line = span_of(rest->p, (size_t)(end - rest->p));
    *rest = span_of(end + 2, rest->n - line.n - 2);
    return line;
}

static void push_field(lua_State *L, const char *name, struct span text)
{
    lua_newtable(L);
    lua_pushlstring(L, text.p, text.n);
    lua_setfield(L, -2, name);
}

static void push_answer(lua_State *L, struct span *rest)
{
    char kind = rest->p[0];
    struct span line;
    int64_t n = 0;

    luaL_checkstack(L, 4, "too deep");
    *rest = span_of(rest->p + 1, rest->n - 1);
    line = take_line(rest);
    if (kind == '+' || kind == '-') {
        push_field(L, kind == '+' ? "ok" : "err", line);
        return;
    }
    must(span_to_i64(line, &n));
    if (kind == ':') {
        lua_pushnumber(L, (double)n);
    } else if (n < 0) {
        lua_pushboolean(L, 0);
    } else if (kind == '$') {
        lua_pushlstring(L, rest->p, (size_t)n);
        *rest = span_of(rest->p + n + 2, rest->n - (size_t)n - 2);
    } else {
        lua_createtable(L, (int)n, 0);
        for (int i = 1; i <= n; i++) {
            push_answer(L, rest);
            lua_rawseti(L, -2, i);
        }
    }
}

/* -- redis.call -- */

static struct running *running(lua_State *L)
{
    struct running *r;

    lua_pushlightuserdata(L, (void *)&running_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    r = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return r;
}

/* As "%.17g" would; returns its length. */
static size_t write_number(char out[40], double number)
{
    uint64_t whole = number >= 0 && number < 1e15 ? (uint64_t)number : 0;

    if (number == (double)whole && !(number == 0 && signbit(number)))
        return put_digits(out, whole);
    return (size_t)snprintf(out, 40, "%.17g", number);
}

/* The arguments, in memory that Lua frees; NULL: one is neither a text nor a number. */
static struct span *arguments(lua_State *L, int n)
{
    struct span *argv = lua_newuserdata(L, (size_t)n * sizeof(*argv));
    char number[40];

    for (int i = 0; i < n; i++) {
        if (lua_type(L, i + 1) == LUA_TNUMBER) {
            lua_pushlstring(L, number, write_number(number, lua_tonumber(L, i + 1)));
            lua_replace(L, i + 1);
        } else if (lua_type(L, i + 1) != LUA_TSTRING) {
            return NULL;
        }
        argv[i].p = lua_tolstring(L, i + 1, &argv[i].n);
    }
    return argv;
}

/* NULL, or why the script may not do this. */
static const char *forbidden(const struct running *r, const struct ask *a)
{
    const char *words;

    if (!a->command)
        return "ERR Unknown Redis command called from script";
    if (!fakeredis_arity_ok(a->command, a->argc))
        return "ERR Wrong number of args calling Redis command from script";
    if (a->command->flags & NOT_IN_SCRIPTS)
        return "ERR This Redis command is not allowed from script";
    words = fakeredis_refusal(a->f, a->command->flags & ~(r->dirty ? NEEDS_MEMORY : 0u));
    return words ? words : cluster_forbids(a);
}

/* Leaves the answer on Lua's stack; true: it is an error. */
static bool call(lua_State *L)
{
    struct running *r = running(L);
    int argc = lua_gettop(L);
    struct span *argv, rest;
    struct buf *out = &r->ask->f->called;
    struct ask a = {.f = r->ask->f, .s = r->ask->s, .argc = (size_t)argc, .in_script = true};
    const char *words;

    if (argc == 0) {
        push_field(L, "err",
                   SPAN("ERR Please specify at least one argument for this redis lib call"));
        return true;
    }
    argv = arguments(L, argc);
    if (!argv) {
        push_field(L, "err",
                   SPAN("ERR Lua redis lib command arguments must be strings or "
                        "integers"));
        return true;
    }
    a.argv = argv;
    a.command = fakeredis_command(a.argc, argv);
    words = forbidden(r, &a);
    if (words) {
        push_field(L, "err", span_str(words));
        return true;
    }
    r->dirty |= (a.command->flags & WRITES) != 0;
    buf_clear(out);
    a.out = out;
    a.command->run(&a);
    rest = buf_span(out);
    push_answer(L, &rest);
    return out->p[0] == '-';
}

static int run_call(lua_State *L)
{
    return call(L) ? lua_error(L) : 1;
}

static int run_pcall(lua_State *L)
{
    (void)call(L);
    return 1;
}

static int run_status_reply(lua_State *L)
{
    struct span s;

    s.p = luaL_checklstring(L, 1, &s.n);
    push_field(L, "ok", s);
    return 1;
}

/* The first word is its code, with or without the "-"; a single word has the code ERR. */
static int run_error_reply(lua_State *L)
{
    const char *words = luaL_checkstring(L, 1);

    words += *words == '-';
    lua_pushfstring(L, "%s%s", strchr(words, ' ') ? "" : "ERR ", words);
    push_field(L, "err", span_str(lua_tostring(L, -1)));
    return 1;
}

static int run_sha1hex(lua_State *L)
{
    char sha[SHA_ROOM];
    struct span s;

    s.p = luaL_checklstring(L, 1, &s.n);
    sha1hex(s, sha);
    lua_pushstring(L, sha);
    return 1;
}

/* -- from Lua to an answer -- */

static void say_value(struct ask *a, lua_State *L);

static struct span field_of(lua_State *L, const char *name)
{
    struct span s = {NULL, 0};

    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.p = lua_tolstring(L, -1, &s.n);
    lua_pop(L, 1); /* the table still holds it */
    return s;
}

static void say_table(struct ask *a, lua_State *L)
{
    struct span err = field_of(L, "err"), ok = field_of(L, "ok");
    size_t n = 0;

    if (err.p || ok.p) {
        buf_printf(a->out, "%c%.*s\r\n", err.p ? '-' : '+', (int)(err.p ? err : ok).n,
                   (err.p ? err : ok).p);
        return;
    }
    for (;; n++) {
        lua_rawgeti(L, -1, (int)n + 1);
        if (lua_isnil(L, -1))
            break;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    say_array(a, n);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        say_value(a, L);
        lua_pop(L, 1);
    }
}

static void say_value(struct ask *a, lua_State *L)
{
    struct span s;

    luaL_checkstack(L, 4, "too deep");
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        s.p = lua_tolstring(L, -1, &s.n);
        say_text(a, s);
        break;
    case LUA_TNUMBER:
        say_number(a, (int64_t)lua_tonumber(L, -1));
        break;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1))
            say_number(a, 1);
        else
            say_nil(a);
        break;
    case LUA_TTABLE:
        say_table(a, L);
        break;
    default:
        say_nil(a);
    }
}

/* -- running -- */

/* Of an error that no pcall caught: {err = ..., source = ..., line = ...}, as Redis 7 has it. */
static int on_error(lua_State *L)
{
    lua_Debug at;
    bool known = lua_getstack(L, 1, &at) && lua_getinfo(L, "Sl", &at);

    if (known && strcmp(at.what, "C") == 0)
        known = lua_getstack(L, 2, &at) && lua_getinfo(L, "Sl", &at);
    if (!lua_istable(L, -1)) {
        lua_pushfstring(L, "ERR %s", lua_tostring(L, -1));
        lua_newtable(L);
        lua_insert(L, -2);
        lua_setfield(L, -2, "err");
    }
    if (known) {
        lua_pushinteger(L, at.currentline);
        lua_setfield(L, -2, "line");
    }
    return 1;
}

static void say_failure(struct ask *a, lua_State *L, const char *sha)
{
    int line;

    lua_getfield(L, -1, "line");
    lua_getfield(L, -2, "err");
    line = (int)lua_tointeger(L, -2);
    if (line)
        say_error(a, "%s script: %s, on " SOURCE ":%d.", lua_tostring(L, -1), sha, line);
    else
        say_error(a, "%s script: %s.", lua_tostring(L, -1), sha);
    lua_pop(L, 2);
}

static void set_list(lua_State *L, const char *name, const struct span *items, size_t count)
{
    lua_pushstring(L, name);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(L, items[i].p, items[i].n);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_rawset(L, LUA_GLOBALSINDEX);
}

/* The function is on top of Lua's stack. */
static void run_script(struct ask *a, const char *sha, size_t keys)
{
    lua_State *L = a->f->lua;
    struct running r = {a, false};

    lua_pushlightuserdata(L, (void *)&running_key);
    lua_pushlightuserdata(L, &r);
    lua_rawset(L, LUA_REGISTRYINDEX);
    set_list(L, "KEYS", a->argv + 3, keys);
    set_list(L, "ARGV", a->argv + 3 + keys, a->argc - 3 - keys);
    lua_pushcfunction(L, on_error);
    lua_insert(L, -2);
    if (lua_pcall(L, 0, 1, -2) == 0)
        say_value(a, L);
    else
        say_failure(a, L, sha);
    lua_settop(L, 0);
}

/* By which Lua finds it: each node of a Cluster knows only those that it was sent. */
static const char *name_in_lua(const struct ask *a, const char *sha)
{
    static char name[SHA_ROOM + 24];

    snprintf(name, sizeof(name), "%s/%" PRIu64, sha, cluster_scripts(a->s));
    return name;
}

/* Leaves its function on Lua's stack. False: the answer is an error already. */
static bool load(struct ask *a, struct span text, const char *sha)
{
    lua_State *L = a->f->lua;

    if (luaL_loadbuffer(L, text.p, text.n, SOURCE) != 0) {
        say_error(a, "ERR Error compiling script (new function): %s", lua_tostring(L, -1));
        lua_settop(L, 0);
        return false;
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, name_in_lua(a, sha));
    return true;
}

static bool loaded(struct ask *a, const char *sha)
{
    lua_getfield(a->f->lua, LUA_REGISTRYINDEX, name_in_lua(a, sha));
    if (lua_isfunction(a->f->lua, -1))
        return true;
    lua_settop(a->f->lua, 0);
    return false;
}

/* False: the answer is an error already. */
static bool key_count(struct ask *a, size_t *out)
{
    int64_t n;

    if (!arg_number(a, 2, &n))
        return false;
    if (n > (int64_t)a->argc - 3) {
        say_error(a, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (n < 0) {
        say_error(a, "ERR Number of keys can't be negative");
        return false;
    }
    *out = (size_t)n;
    return true;
}

static void run_eval(struct ask *a)
{
    char sha[SHA_ROOM];
    size_t keys;

    if (!key_count(a, &keys))
        return;
    sha1hex(a->argv[1], sha);
    if (loaded(a, sha) || load(a, a->argv[1], sha))
        run_script(a, sha, keys);
}

static void run_evalsha(struct ask *a)
{
    char sha[SHA_ROOM] = "";
    size_t keys;

    if (!key_count(a, &keys))
        return;
    if (a->argv[1].n == SHA_ROOM - 1)
        memcpy(sha, a->argv[1].p, SHA_ROOM - 1);
    if (loaded(a, sha))
        run_script(a, sha, keys);
    else
        say_error(a, "NOSCRIPT No matching script. Please use EVAL.");
}

static void run_script_command(struct ask *a)
{
    char sha[SHA_ROOM];

    if (arg_is(a, 1, "LOAD") && a->argc == 3) {
        sha1hex(a->argv[2], sha);
        if (!loaded(a, sha) && !load(a, a->argv[2], sha))
            return;
        lua_settop(a->f->lua, 0);
        say_text(a, span_str(sha));
    } else if (arg_is(a, 1, "FLUSH") && a->argc == 2) {
        fakeredis_lua_close(a->f);
        fakeredis_lua_open(a->f);
        say_status(a, "OK");
    } else {
        say_error(a, SYNTAX_ERROR);
    }
}

const struct command fakeredis_scripts[] = {
    {"eval", -3, NOT_IN_SCRIPTS, run_eval},
    {"evalsha", -3, NOT_IN_SCRIPTS, run_evalsha},
    {"script", -2, NOT_IN_SCRIPTS, run_script_command},
    {0},
};

/* -- the environment -- */

/* Lua's own pcall, but for redis.call's errors: they arrive as texts, not as tables. */
static int run_lua_pcall(lua_State *L)
{
    bool failed = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) != 0;

    if (failed && lua_istable(L, -1)) {
        lua_getfield(L, -1, "err");
        if (lua_isstring(L, -1))
            lua_replace(L, -2);
        else
            lua_pop(L, 1);
    }
    lua_pushboolean(L, !failed);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int on_unknown_global(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(L, 2));
}

static int on_new_global(lua_State *L)
{
    return luaL_error(L, "Attempt to modify a readonly table");
}

static void protect_globals(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, on_unknown_global);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, on_new_global);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, LUA_GLOBALSINDEX);
}

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

void fakeredis_lua_open(struct fakeredis *f)
{
    static const luaL_Reg functions[] = {
        {"call", run_call},
        {"pcall", run_pcall},
        {"status_reply", run_status_reply},
        {"error_reply", run_error_reply},
        {"sha1hex", run_sha1hex},
        {NULL, NULL},
    };

    f->lua_memory = lua_memory_new();
    f->lua = lua_newstate(lua_memory_change, f->lua_memory);
    must(f->lua);
    lua_gc(f->lua, LUA_GCSETPAUSE, 400); /* percent: there is memory enough */
    buf_init(&f->called, (size_t)1 << 40);
    open_library(f->lua, "", luaopen_base);
    open_library(f->lua, LUA_TABLIBNAME, luaopen_table);
    open_library(f->lua, LUA_STRLIBNAME, luaopen_string);
    open_library(f->lua, LUA_MATHLIBNAME, luaopen_math);
    luaL_register(f->lua, "redis", functions);
    fakeredis_lua_pack_open(f->lua);
    lua_register(f->lua, "pcall", run_lua_pcall);
    lua_settop(f->lua, 0);
    lua_pushvalue(f->lua, LUA_GLOBALSINDEX);
    protect_globals(f->lua);
    lua_settop(f->lua, 0);
}

void fakeredis_lua_close(struct fakeredis *f)
{
    lua_close(f->lua);
    lua_memory_free(f->lua_memory);
    buf_deinit(&f->called);
}
