/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <stdlib.h>

#include "alloc.h"

static uint64_t hash_of(struct span s)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
    return h ^ h >> 29;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_deinit(struct map *m)
{
    map_each(slot, m) free(slot->name);
    free(m->slots);
    map_init(m);
}

static struct map_slot *find(const struct map *m, struct span name, uint64_t hash)
{
    for (size_t i = hash & (m->room - 1);; i = (i + 1) & (m->room - 1)) {
        struct map_slot *slot = &m->slots[i];

        if (!slot->name || (slot->hash == hash && span_eq(span_of(slot->name, slot->n), name)))
            return slot;
    }
}

void *map_get(const struct map *m, struct span name)
{
    return m->room ? find(m, name, hash_of(name))->value : NULL;
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->room = old.room ? old.room * 2 : 64;
    m->slots = alloc_zeroed(m->room, sizeof(*m->slots));
    map_each(slot, &old) * find(m, span_of(slot->name, slot->n), slot->hash) = *slot;
    free(old.slots);
}

void map_put(struct map *m, struct span name, void *value)
{
    uint64_t hash = hash_of(name);
    struct map_slot *slot;

    must(value != NULL);
    if (m->count >= m->room / 4 * 3)
        grow(m);
    slot = find(m, name, hash);
    if (!slot->name) {
        *slot = (struct map_slot){alloc_copy(name.p, name.n), name.n, hash, NULL};
        m->count++;
    }
    slot->value = value;
}

void *map_take(struct map *m, struct span name)
{
    struct map_slot *slot;
    void *value;

    if (!m->room || !(slot = find(m, name, hash_of(name)))->name)
        return NULL;
    value = slot->value;
    free(slot->name);
    *slot = (struct map_slot){0};
    m->count--;
    /* What follows the hole is put in again, so that no search stops before it. */
    for (size_t i = ((size_t)(slot - m->slots) + 1) & (m->room - 1); m->slots[i].name;
         i = (i + 1) & (m->room - 1)) {
        struct map_slot moved = m->slots[i];

        m->slots[i] = (struct map_slot){0};
        *find(m, span_of(moved.name, moved.n), moved.hash) = moved;
    }
    return value;
}
