/* SPDX-License-Identifier: MIT
 * An allocator for many small items of one size, which are addressed by a 32-bit number instead of
 * a pointer. It grows by whole chunks, never moves items, reuses returned items, and frees empty
 * chunks. */
#pragma once

#include "base.h"

#define POOL_NONE UINT32_MAX
#define POOL_CHUNK 4096u /* items */

struct pool_chunk {
    char *items;   /* NULL: freed, and allocated again when needed; zeroed at first */
    uint32_t next; /* next chunk with room */
    uint32_t free; /* first returned item; they are linked through their first four bytes */
    uint32_t fresh, used;
};

struct pool {
    struct pool_chunk *chunks;
    uint32_t item_bytes;
    uint32_t chunks_count, chunks_room;
    uint32_t allocated; /* chunks that have memory */
    uint32_t empty;     /* empty chunks that have memory; at most one is kept */
    uint32_t open;      /* first chunk with room, or POOL_NONE */
    uint32_t used;
};

void pool_init(struct pool *p, size_t item_bytes); /* 4 .. 65,536 */
void pool_deinit(struct pool *p);
uint32_t
pool_take(struct pool *p); /* contents undefined, but zero if the item was never used before */
void pool_give(struct pool *p, uint32_t i);

static inline void *pool_at(const struct pool *p, uint32_t i)
{
    return p->chunks[i / POOL_CHUNK].items + (size_t)(i % POOL_CHUNK) * p->item_bytes;
}

/* All item numbers are below this number. Not every number below it has memory. */
static inline uint32_t pool_end(const struct pool *p)
{
    return p->chunks_count * POOL_CHUNK;
}

static inline bool pool_has_memory(const struct pool *p, uint32_t i)
{
    return p->chunks[i / POOL_CHUNK].items != NULL;
}

uint64_t pool_bytes(const struct pool *p);
uint64_t pool_growth_bytes(const struct pool *p, uint32_t items); /* when `items` more are taken */
