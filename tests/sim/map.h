/* SPDX-License-Identifier: MIT
 * From bytes to a pointer: open addressing, linear probing. The map keeps its own copies of the
 * names; what they lead to is the caller's. */
#pragma once

#include "span.h"

struct map_slot {
    char *name;
    size_t n;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t room, count;
};

void map_init(struct map *m);
void map_deinit(struct map *m);                       /* the values are left alone */
void *map_get(const struct map *m, struct span name); /* or NULL */
void map_put(struct map *m, struct span name, void *value);
void *map_take(struct map *m, struct span name); /* removes; the value, or NULL */

#define map_each(slot, m)                                                                          \
    for (struct map_slot *slot = (m)->slots; slot && slot < (m)->slots + (m)->room; slot++)        \
        if (slot->name)
