/* SPDX-License-Identifier: MIT
 * cmsgpack as Redis gives it to scripts: https://github.com/msgpack/msgpack/blob/master/spec.md */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "fakeredis_internal.h"

/* -- packing -- */

static void put_big_endian(luaL_Buffer *b, unsigned char head, uint64_t n, int bytes)
{
    luaL_addchar(b, (char)head);
    while (bytes-- > 0)
        luaL_addchar(b, (char)(n >> 8 * bytes));
}

static void put_text(lua_State *L, luaL_Buffer *b, int at)
{
    size_t n;
    const char *p = lua_tolstring(L, at, &n);

    if (n < 32)
        luaL_addchar(b, (char)(0xa0 | n));
    else if (n <= 0xff)
        put_big_endian(b, 0xd9, n, 1);
    else if (n <= 0xffff)
        put_big_endian(b, 0xda, n, 2);
    else
        put_big_endian(b, 0xdb, n, 4);
    luaL_addlstring(b, p, n);
}

static void put_whole(luaL_Buffer *b, int64_t n)
{
    if (n >= 0 ? n <= 127 : n >= -32)
        luaL_addchar(b, (char)n);
    else if (n >= 0 && n <= 0xff)
        put_big_endian(b, 0xcc, (uint64_t)n, 1);
    else if (n >= 0 && n <= 0xffff)
        put_big_endian(b, 0xcd, (uint64_t)n, 2);
    else if (n >= 0 && n <= 0xffffffff)
        put_big_endian(b, 0xce, (uint64_t)n, 4);
    else if (n >= 0)
        put_big_endian(b, 0xcf, (uint64_t)n, 8);
    else if (n >= -128)
        put_big_endian(b, 0xd0, (uint64_t)n, 1);
    else if (n >= -32768)
        put_big_endian(b, 0xd1, (uint64_t)n, 2);
    else if (n >= -INT64_C(2147483648))
        put_big_endian(b, 0xd2, (uint64_t)n, 4);
    else
        put_big_endian(b, 0xd3, (uint64_t)n, 8);
}

static void put_number(luaL_Buffer *b, double d)
{
    uint64_t bits;

    if (d >= -9e18 && d <= 9e18 && d == (double)(int64_t)d) {
        put_whole(b, (int64_t)d);
        return;
    }
    memcpy(&bits, &d, sizeof(bits));
    put_big_endian(b, 0xcb, bits, 8);
}

#define AT_ONCE_MAX 100 /* parts that are put together at a time */

/* Only what scripts pack: texts, numbers, and lists of these. The parts of a list are packed one by
 * one and put together on Lua's stack, for a luaL_Buffer wants the top of it for itself. */
static void pack(lua_State *L, int at)
{
    int type = lua_type(L, at), n = (int)lua_objlen(L, at);
    luaL_Buffer b;

    luaL_checkstack(L, AT_ONCE_MAX + 4, "too deep");
    luaL_buffinit(L, &b);
    if (type == LUA_TSTRING) {
        put_text(L, &b, at);
    } else if (type == LUA_TNUMBER) {
        put_number(&b, lua_tonumber(L, at));
    } else if (type == LUA_TTABLE) {
        if (n < 16)
            luaL_addchar(&b, (char)(0x90 | n));
        else if (n <= 0xffff)
            put_big_endian(&b, 0xdc, (uint64_t)n, 2);
        else
            put_big_endian(&b, 0xdd, (uint64_t)n, 4);
    } else {
        luaL_error(L, "the fake cmsgpack packs only texts, numbers and lists");
    }
    luaL_pushresult(&b);
    for (int i = 1; type == LUA_TTABLE && i <= n; i++) {
        lua_rawgeti(L, at, i);
        pack(L, lua_gettop(L));
        lua_remove(L, -2);
        if (i % AT_ONCE_MAX == 0 || i == n)
            lua_concat(L, (i - 1) % AT_ONCE_MAX + 2);
    }
}

static int run_pack(lua_State *L)
{
    int n = lua_gettop(L);

    luaL_argcheck(L, n > 0, 0, "MessagePack pack needs input.");
    for (int i = 1; i <= n; i++)
        pack(L, i);
    lua_concat(L, n);
    return 1;
}

/* -- unpacking -- */

struct rest {
    const unsigned char *p;
    size_t n;
};

static const unsigned char *take(lua_State *L, struct rest *r, size_t n)
{
    const unsigned char *p = r->p;

    if (r->n < n)
        luaL_error(L, "Missing bytes in input.");
    r->p += n;
    r->n -= n;
    return p;
}

static uint64_t take_number(lua_State *L, struct rest *r, int bytes)
{
    const unsigned char *p = take(L, r, (size_t)bytes);
    uint64_t n = 0;

    for (int i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

static void unpack(lua_State *L, struct rest *r);

static void unpack_text(lua_State *L, struct rest *r, size_t n)
{
    const unsigned char *p = take(L, r, n);

    lua_pushlstring(L, (const char *)p, n);
}

static void unpack_list(lua_State *L, struct rest *r, size_t n)
{
    lua_newtable(L);
    for (size_t i = 1; i <= n; i++) {
        unpack(L, r);
        lua_rawseti(L, -2, (int)i);
    }
}

static void unpack_map(lua_State *L, struct rest *r, size_t n)
{
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        unpack(L, r);
        unpack(L, r);
        lua_settable(L, -3);
    }
}

static void unpack_float(lua_State *L, struct rest *r)
{
    uint32_t bits = (uint32_t)take_number(L, r, 4);
    float f;

    memcpy(&f, &bits, sizeof(f));
    lua_pushnumber(L, f);
}

static void unpack_double(lua_State *L, struct rest *r)
{
    uint64_t bits = take_number(L, r, 8);
    double d;

    memcpy(&d, &bits, sizeof(d));
    lua_pushnumber(L, d);
}

static void unpack_signed(lua_State *L, struct rest *r, int bytes)
{
    uint64_t n = take_number(L, r, bytes);
    int shift = 64 - 8 * bytes;

    lua_pushnumber(L, (double)((int64_t)(n << shift) >> shift));
}

/* Those with a head of 0xc0 to 0xdf. */
static void unpack_other(lua_State *L, struct rest *r, unsigned char head)
{
    if (head == 0xc0)
        lua_pushnil(L);
    else if (head == 0xc2 || head == 0xc3)
        lua_pushboolean(L, head == 0xc3);
    else if (head >= 0xc4 && head <= 0xc6)
        unpack_text(L, r, take_number(L, r, 1 << (head - 0xc4)));
    else if (head == 0xca)
        unpack_float(L, r);
    else if (head == 0xcb)
        unpack_double(L, r);
    else if (head >= 0xcc && head <= 0xcf)
        lua_pushnumber(L, (double)take_number(L, r, 1 << (head - 0xcc)));
    else if (head >= 0xd0 && head <= 0xd3)
        unpack_signed(L, r, 1 << (head - 0xd0));
    else if (head >= 0xd9 && head <= 0xdb)
        unpack_text(L, r, take_number(L, r, 1 << (head - 0xd9)));
    else if (head == 0xdc || head == 0xdd)
        unpack_list(L, r, take_number(L, r, head == 0xdc ? 2 : 4));
    else if (head == 0xde || head == 0xdf)
        unpack_map(L, r, take_number(L, r, head == 0xde ? 2 : 4));
    else
        luaL_error(L, "Bad data format in input.");
}

static void unpack(lua_State *L, struct rest *r)
{
    unsigned char head = *take(L, r, 1);

    luaL_checkstack(L, 4, "too deep");
    if (head < 0x80)
        lua_pushnumber(L, head);
    else if (head < 0x90)
        unpack_map(L, r, head & 15);
    else if (head < 0xa0)
        unpack_list(L, r, head & 15);
    else if (head < 0xc0)
        unpack_text(L, r, head & 31);
    else if (head < 0xe0)
        unpack_other(L, r, head);
    else
        lua_pushnumber(L, (signed char)head);
}

static int run_unpack(lua_State *L)
{
    struct rest r;
    int count = 0;

    r.p = (const unsigned char *)luaL_checklstring(L, 1, &r.n);
    for (; r.n; count++)
        unpack(L, &r);
    return count;
}

void fakeredis_lua_pack_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pack", run_pack}, {"unpack", run_unpack}, {NULL, NULL}};

    luaL_register(L, "cmsgpack", functions);
    lua_pop(L, 1);
}
