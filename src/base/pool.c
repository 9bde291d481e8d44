/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

void pool_init(struct pool *p, size_t item_bytes)
{
    must(item_bytes >= sizeof(uint32_t) && item_bytes <= 65536);
    *p = (struct pool){.item_bytes = (uint32_t)item_bytes, .open = POOL_NONE};
}

void pool_deinit(struct pool *p)
{
    for (uint32_t i = 0; i < p->chunks_count; i++)
        free(p->chunks[i].items);
    free(p->chunks);
    pool_init(p, p->item_bytes);
}

static void add_chunk(struct pool *p)
{
    if (p->chunks_count == p->chunks_room) {
        p->chunks_room = p->chunks_room ? p->chunks_room * 2 : 16;
        p->chunks = alloc_grow(p->chunks, p->chunks_room, sizeof(*p->chunks));
    }
    must(p->chunks_count < POOL_NONE / POOL_CHUNK);
    p->chunks[p->chunks_count] = (struct pool_chunk){.next = p->open, .free = POOL_NONE};
    p->open = p->chunks_count++;
}

static void fill_chunk(struct pool *p, struct pool_chunk *c)
{
    c->items = alloc_zeroed(POOL_CHUNK, p->item_bytes);
    p->allocated++;
    p->empty++;
}

static void empty_chunk(struct pool *p, struct pool_chunk *c)
{
    if (p->empty++ == 0)
        return;
    free(c->items);
    *c = (struct pool_chunk){.next = c->next, .free = POOL_NONE};
    p->allocated--;
    p->empty--;
}

uint32_t pool_take(struct pool *p)
{
    struct pool_chunk *c;
    uint32_t number, i;

    if (p->open == POOL_NONE)
        add_chunk(p);
    number = p->open;
    c = &p->chunks[number];
    if (!c->items)
        fill_chunk(p, c);
    i = c->free;
    if (i == POOL_NONE)
        i = c->fresh++;
    else
        memcpy(&c->free, c->items + (size_t)i * p->item_bytes, sizeof(c->free));
    if (c->used++ == 0)
        p->empty--;
    if (c->used == POOL_CHUNK)
        p->open = c->next;
    p->used++;
    return number * POOL_CHUNK + i;
}

void pool_give(struct pool *p, uint32_t i)
{
    struct pool_chunk *c = &p->chunks[i / POOL_CHUNK];

    must(i < pool_end(p) && c->used > 0);
    memcpy(pool_at(p, i), &c->free, sizeof(c->free));
    c->free = i % POOL_CHUNK;
    if (c->used == POOL_CHUNK) {
        c->next = p->open;
        p->open = i / POOL_CHUNK;
    }
    p->used--;
    if (--c->used == 0)
        empty_chunk(p, c);
}

uint64_t pool_bytes(const struct pool *p)
{
    return (uint64_t)p->allocated * POOL_CHUNK * p->item_bytes;
}

uint64_t pool_growth_bytes(const struct pool *p, uint32_t items)
{
    uint64_t room = (uint64_t)p->allocated * POOL_CHUNK - p->used;
    uint64_t chunks = items > room ? (items - room + POOL_CHUNK - 1) / POOL_CHUNK : 0;

    return chunks * POOL_CHUNK * p->item_bytes;
}
