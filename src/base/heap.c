/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <stdlib.h>

#include "alloc.h"

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_deinit(struct heap *h)
{
    free(h->at);
    *h = (struct heap){0};
}

static void place(struct heap *h, uint32_t i, struct heap_node *n)
{
    h->at[i] = n;
    n->pos = i;
}

static void sift_up(struct heap *h, uint32_t i)
{
    struct heap_node *n = h->at[i];

    while (i > 0) {
        uint32_t parent = (i - 1) / 2;

        if (h->at[parent]->key <= n->key)
            break;
        place(h, i, h->at[parent]);
        i = parent;
    }
    place(h, i, n);
}

static void sift_down(struct heap *h, uint32_t i)
{
    struct heap_node *n = h->at[i];

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->at[child + 1]->key < h->at[child]->key)
            child++;
        if (n->key <= h->at[child]->key)
            break;
        place(h, i, h->at[child]);
        i = child;
    }
    place(h, i, n);
}

void heap_insert(struct heap *h, struct heap_node *n, uint64_t key)
{
    must(n->pos == HEAP_NOWHERE);
    if (h->count == h->room) {
        h->room = h->room ? h->room * 2 : 16;
        h->at = alloc_grow(h->at, h->room, sizeof(*h->at));
    }
    n->key = key;
    h->at[h->count] = n;
    sift_up(h, h->count++);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    uint32_t i = n->pos;
    struct heap_node *last;

    if (i == HEAP_NOWHERE)
        return;
    must(i < h->count && h->at[i] == n);
    n->pos = HEAP_NOWHERE;
    last = h->at[--h->count];
    if (last == n)
        return;
    h->at[i] = last;
    last->pos = i;
    sift_down(h, i);
    sift_up(h, last->pos);
}
