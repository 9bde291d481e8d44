/* SPDX-License-Identifier: MIT
 * Many small things of one size, named by a 32-bit number instead of a pointer. Grows by whole
 * chunks, never moves what it holds, reuses what was given back. */
#pragma once

#include "base.h"

#define POOL_NONE UINT32_MAX
#define POOL_CHUNK 4096u /* items */

struct pool {
    char **chunks;
    uint32_t item_bytes;
    uint32_t chunks_count, chunks_room;
    uint32_t next; /* first number never handed out */
    uint32_t free; /* head of the returned ones, linked through their first four bytes */
    uint32_t used;
};

void pool_init(struct pool *p, size_t item_bytes); /* 4 .. 65,536 */
void pool_deinit(struct pool *p);
uint32_t pool_take(struct pool *p); /* contents undefined */
void pool_give(struct pool *p, uint32_t i);

static inline void *pool_at(const struct pool *p, uint32_t i)
{
    return p->chunks[i / POOL_CHUNK] + (size_t)(i % POOL_CHUNK) * p->item_bytes;
}
