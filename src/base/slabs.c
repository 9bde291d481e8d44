/* SPDX-License-Identifier: MIT */
#include "slabs.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define STEPS SLAB_SIZES
#define NO_ITEM 0xffffu

/* Begins at a multiple of SLAB_BYTES, so that the slab of an item can be found. Offsets are in
 * steps. A returned item has the offset of the next one in its first two bytes. */
struct slab {
    struct list link; /* in slabs.open, or in no list */
    uint32_t number;
    uint16_t steps;        /* of one item */
    uint16_t fresh;        /* from here on no item was ever used */
    uint16_t free;         /* the first returned item, or NO_ITEM */
    uint16_t used, places; /* items */
};

#define FIRST ((uint16_t)((sizeof(struct slab) + SLAB_STEP - 1) / SLAB_STEP))

/* glibc needs 16 bytes for itself, so that slabs follow each other without gaps. */
_Static_assert(sizeof(struct slab) + SLAB_STEP + 16 <= SLAB_HEAD_BYTES, "the head of a slab");
_Static_assert(SLABS_MAX <= UINT32_MAX / STEPS + 1, "numbers");

static uint32_t steps_of(size_t bytes)
{
    must(bytes > 0 && bytes <= SLABS_ITEM_MAX_BYTES);
    return (uint32_t)((bytes + SLAB_STEP - 1) / SLAB_STEP);
}

static uint32_t places_of(uint32_t steps)
{
    return (STEPS - 1 - FIRST) / steps; /* the last step is glibc's */
}

static struct slab *slab_of(const void *item)
{
    return (struct slab *)((uintptr_t)item & ~(uintptr_t)(SLAB_BYTES - 1));
}

static char *at(struct slab *b, uint32_t offset)
{
    return (char *)b + (size_t)offset * SLAB_STEP;
}

void slabs_init(struct slabs *s)
{
    *s = (struct slabs){0};
}

static void drop(struct slabs *s, struct slab *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b, SLAB_BYTES - 16);
    s->all[b->number] = NULL;
    s->used--;
    if (b->number < s->vacant)
        s->vacant = b->number;
    list_remove(&b->link);
    free(b);
}

void slabs_deinit(struct slabs *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->all[i])
            drop(s, s->all[i]);
    free(s->all);
    free(s->open);
    slabs_init(s);
}

/* Lists cannot be moved like other memory: their first and last elements point to them. */
static void know_size(struct slabs *s, uint32_t steps)
{
    struct list *open;
    uint32_t sizes = (steps + 1 + 7) / 8 * 8;

    if (steps < s->sizes)
        return;
    open = alloc_zeroed(sizes, sizeof(*open));
    for (uint32_t i = 0; i < sizes; i++) {
        list_init(&open[i]);
        if (i < s->sizes)
            list_splice_back(&open[i], &s->open[i]);
    }
    free(s->open);
    s->open = open;
    s->sizes = sizes;
}

static uint32_t number_for(struct slabs *s)
{
    while (s->vacant < s->count && s->all[s->vacant])
        s->vacant++;
    if (s->vacant == s->count) {
        must(s->count < SLABS_MAX - 1);
        if (s->count == s->room) {
            s->room = s->room ? s->room * 2 : 16;
            s->all = alloc_grow(s->all, s->room, sizeof(struct slab *));
        }
        s->count++;
    }
    return s->vacant++;
}

static struct slab *add_slab(struct slabs *s, uint32_t steps)
{
    uint32_t number = number_for(s);
    void *memory;
    struct slab *b;
    int err = posix_memalign(&memory, SLAB_BYTES, SLAB_BYTES - 16);

    must(err == 0);
    b = memory;
    *b = (struct slab){.number = number,
                       .steps = (uint16_t)steps,
                       .fresh = FIRST,
                       .free = NO_ITEM,
                       .places = (uint16_t)places_of(steps)};
    list_init(&b->link);
    list_push_front(&s->open[steps], &b->link);
    ASAN_POISON_MEMORY_REGION(at(b, FIRST), SLAB_BYTES - 16 - (size_t)FIRST * SLAB_STEP);
    s->all[number] = b;
    s->used++;
    return b;
}

void *slabs_take(struct slabs *s, size_t bytes)
{
    uint32_t steps = steps_of(bytes);
    struct slab *b;
    char *item;

    know_size(s, steps);
    b = list_empty(&s->open[steps]) ? add_slab(s, steps)
                                    : list_first(&s->open[steps], struct slab, link);
    item = at(b, b->free == NO_ITEM ? b->fresh : b->free);
    ASAN_UNPOISON_MEMORY_REGION(item, (size_t)steps * SLAB_STEP);
    if (b->free == NO_ITEM)
        b->fresh = (uint16_t)(b->fresh + steps);
    else
        memcpy(&b->free, item, sizeof(b->free));
    if (++b->used == b->places)
        list_remove(&b->link);
    ASAN_POISON_MEMORY_REGION(item + bytes, (size_t)steps * SLAB_STEP - bytes);
    return item;
}

void slabs_give(struct slabs *s, void *item)
{
    struct slab *b = slab_of(item);

    must(b->used > 0 && s->all[b->number] == b);
    if (--b->used == 0) {
        drop(s, b);
        return;
    }
    ASAN_UNPOISON_MEMORY_REGION(item, SLAB_STEP);
    memcpy(item, &b->free, sizeof(b->free));
    b->free = (uint16_t)(((char *)item - (char *)b) / SLAB_STEP);
    ASAN_POISON_MEMORY_REGION(item, (size_t)b->steps * SLAB_STEP);
    if (list_empty(&b->link))
        list_push_front(&s->open[b->steps], &b->link);
}

uint32_t slabs_number(const void *item)
{
    struct slab *b = slab_of(item);

    return b->number * STEPS + (uint32_t)(((const char *)item - (char *)b) / SLAB_STEP);
}

uint64_t slabs_bytes(const struct slabs *s)
{
    return (uint64_t)s->used * SLAB_BYTES;
}

static bool mark(uint64_t *bits, uint32_t i)
{
    bool was = bits[i / 64] >> (i % 64) & 1;

    bits[i / 64] |= UINT64_C(1) << (i % 64);
    return was;
}

/* The first item of a size goes into an open slab if there is one. How many more that takes is not
 * known, so the second one counts as if it began a slab; from then on each counts for its share. */
void slabs_growth_add(const struct slabs *s, struct slabs_growth *g, size_t bytes)
{
    uint32_t steps = steps_of(bytes), places = places_of(steps);

    if (!mark(g->once, steps)) {
        g->bytes += steps < s->sizes && !list_empty(&s->open[steps]) ? 0 : SLAB_BYTES;
        return;
    }
    g->bytes += mark(g->again, steps) ? 0 : SLAB_BYTES;
    g->bytes += (SLAB_BYTES + places - 1) / places;
}
