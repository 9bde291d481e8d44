/* SPDX-License-Identifier: MIT
 * A binary min-heap whose nodes store their own position, so that any node can be removed. */
#pragma once

#include "base.h"

#define HEAP_NOWHERE UINT32_MAX

struct heap_node {
    uint64_t key;
    uint32_t pos; /* HEAP_NOWHERE while the node is in no heap */
};

struct heap {
    struct heap_node **at;
    uint32_t count, room;
};

void heap_init(struct heap *h);
void heap_deinit(struct heap *h); /* does not free the nodes */

static inline void heap_node_init(struct heap_node *n)
{
    n->key = 0;
    n->pos = HEAP_NOWHERE;
}

void heap_insert(struct heap *h, struct heap_node *n, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *n); /* does nothing for a node in no heap */

/* The node with the smallest key, or NULL. Stays in the heap. */
static inline struct heap_node *heap_min(const struct heap *h)
{
    return h->count ? h->at[0] : NULL;
}
