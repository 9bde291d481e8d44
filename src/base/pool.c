/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

void pool_init(struct pool *p, size_t item_bytes)
{
    must(item_bytes >= sizeof(uint32_t) && item_bytes <= 65536);
    *p = (struct pool){.item_bytes = (uint32_t)item_bytes, .free = POOL_NONE};
}

void pool_deinit(struct pool *p)
{
    for (uint32_t i = 0; i < p->chunks_count; i++)
        free(p->chunks[i]);
    free(p->chunks);
    pool_init(p, p->item_bytes);
}

static void add_chunk(struct pool *p)
{
    if (p->chunks_count == p->chunks_room) {
        p->chunks_room = p->chunks_room ? p->chunks_room * 2 : 16;
        p->chunks = alloc_grow(p->chunks, p->chunks_room, sizeof(*p->chunks));
    }
    p->chunks[p->chunks_count++] = alloc_bytes((size_t)POOL_CHUNK * p->item_bytes);
}

uint32_t pool_take(struct pool *p)
{
    uint32_t i = p->free;

    p->used++;
    if (i != POOL_NONE) {
        memcpy(&p->free, pool_at(p, i), sizeof(p->free));
        return i;
    }
    must(p->next != POOL_NONE);
    if (p->next / POOL_CHUNK == p->chunks_count)
        add_chunk(p);
    return p->next++;
}

void pool_give(struct pool *p, uint32_t i)
{
    must(i < p->next && p->used > 0);
    memcpy(pool_at(p, i), &p->free, sizeof(p->free));
    p->free = i;
    p->used--;
}
