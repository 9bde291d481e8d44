/* SPDX-License-Identifier: MIT
 * An allocator for very many small items of different sizes. It has no overhead per item, while
 * malloc has 8 bytes, and each item also has a 32-bit number, half as long as a pointer. A slab
 * holds items of one size, in steps of 16 bytes. Items never move; a slab is freed when its last
 * item is. */
#pragma once

#include "base.h"
#include "list.h"

#define SLAB_BYTES 16384u
#define SLAB_STEP 16u
#define SLAB_SIZES (SLAB_BYTES / SLAB_STEP)
/* What malloc and a slab itself need of SLAB_BYTES. */
#define SLAB_HEAD_BYTES 64u
#define SLABS_ITEM_MAX_BYTES (SLAB_BYTES - SLAB_HEAD_BYTES)
#define SLABS_MAX (1u << 22) /* 64 GiB: a number is that of a slab and a place in it */

struct slab;

struct slabs {
    struct slab **all; /* by number; NULL: freed */
    struct list *open; /* by size in steps: slabs with room for another item */
    uint32_t count, room, sizes;
    uint32_t used;   /* slabs that have memory */
    uint32_t vacant; /* no number below this one is free */
};

void slabs_init(struct slabs *s);
void slabs_deinit(struct slabs *s); /* also frees all items */

/* 1 to SLABS_ITEM_MAX_BYTES, aligned to 16. The contents are undefined. There must be fewer than
 * SLABS_MAX slabs. */
__attribute__((returns_nonnull)) void *slabs_take(struct slabs *s, size_t bytes);
void slabs_give(struct slabs *s, void *item);

uint32_t slabs_number(const void *item); /* never 0 */
static inline void *slabs_at(const struct slabs *s, uint32_t number)
{
    return (char *)s->all[number / SLAB_SIZES] + (size_t)(number % SLAB_SIZES) * SLAB_STEP;
}

uint64_t slabs_bytes(const struct slabs *s);

/* The most by which slabs_bytes grows when several items are taken. Begins zeroed; the result is in
 * `bytes`. */
struct slabs_growth {
    uint64_t bytes;
    uint64_t once[SLAB_SIZES / 64], again[SLAB_SIZES / 64]; /* a bit per size: it was added */
};

void slabs_growth_add(const struct slabs *s, struct slabs_growth *g, size_t bytes);
