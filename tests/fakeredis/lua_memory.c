/* SPDX-License-Identifier: MIT
 * Lua's memory: what is small comes from pieces of one size each, which is several times as fast as
 * malloc. All of it is given back at the end. */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

#define STEP 16 /* sizes are multiples of it */
#define CHUNK_BYTES 16384

struct piece {
    struct piece *next;
};

struct chunk {
    struct chunk *next;
    max_align_t bytes[];
};

struct lua_memory {
    struct chunk *chunks;
    struct piece *unused[LUA_MEMORY_SMALL / STEP + 1]; /* by size in steps */
};

struct lua_memory *lua_memory_new(void)
{
    return alloc_zeroed(1, sizeof(struct lua_memory));
}

void lua_memory_free(struct lua_memory *m)
{
    while (m->chunks) {
        struct chunk *c = m->chunks;

        m->chunks = c->next;
        free(c);
    }
    free(m);
}

static void cut(struct lua_memory *m, size_t steps)
{
    struct chunk *c = alloc_bytes(sizeof(*c) + CHUNK_BYTES);
    char *at = (char *)c->bytes;

    c->next = m->chunks;
    m->chunks = c;
    for (size_t n = CHUNK_BYTES / (steps * STEP); n > 0; n--, at += steps * STEP) {
        struct piece *p = (struct piece *)(void *)at;

        p->next = m->unused[steps];
        m->unused[steps] = p;
    }
}

static void *take(struct lua_memory *m, size_t n)
{
    size_t steps = (n + STEP - 1) / STEP;
    struct piece *p;

    if (n > LUA_MEMORY_SMALL)
        return alloc_bytes(n);
    if (!m->unused[steps])
        cut(m, steps);
    p = m->unused[steps];
    m->unused[steps] = p->next;
    return p;
}

static void give_back(struct lua_memory *m, void *p, size_t n)
{
    size_t steps = (n + STEP - 1) / STEP;

    if (!p || n > LUA_MEMORY_SMALL) {
        free(p);
        return;
    }
    ((struct piece *)p)->next = m->unused[steps];
    m->unused[steps] = p;
}

/* https://www.lua.org/manual/5.1/manual.html#lua_Alloc */
void *lua_memory_change(void *ctx, void *old, size_t old_n, size_t n)
{
    struct lua_memory *m = ctx;
    void *fresh;

    if (n == 0) {
        give_back(m, old, old_n);
        return NULL;
    }
    if (old && old_n > LUA_MEMORY_SMALL && n > LUA_MEMORY_SMALL)
        return alloc_grow(old, n, 1);
    if (old && (old_n + STEP - 1) / STEP == (n + STEP - 1) / STEP)
        return old;
    fresh = take(m, n);
    if (old)
        memcpy(fresh, old, old_n < n ? old_n : n);
    give_back(m, old, old_n);
    return fresh;
}
