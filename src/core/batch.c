/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <stdlib.h>

#include "alloc.h"

struct batch *batch_new(enum form form, uint16_t service, enum lane lane)
{
    struct batch *b = alloc_zeroed(1, sizeof(*b));

    list_init(&b->link);
    list_init(&b->targets);
    list_init(&b->absorbed);
    heap_node_init(&b->due);
    b->form = form;
    b->service = service;
    b->lane = lane;
    return b;
}

static uint32_t leave_bisection(struct batch *b)
{
    struct bisect *both = b->bisect;
    uint32_t learned = 0;

    if (!both)
        return 0;
    b->bisect = NULL;
    if (--both->open == 0) {
        learned = both->passed == 2 ? both->refused : 0;
        free(both);
    }
    return learned;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    must(list_empty(&b->targets) && list_empty(&b->absorbed) && list_empty(&b->link));
    must(b->due.pos == HEAP_NOWHERE);
    (void)leave_bisection(b);
    free(b);
}

void batch_add(struct batch *b, struct pending *t)
{
    must(list_empty(&t->link));
    list_push_back(&b->targets, &t->link);
    b->count++;
}

struct pending *batch_pop(struct batch *b)
{
    struct list *node = list_pop_front(&b->targets);

    if (!node)
        return NULL;
    b->count--;
    return pending_of(node);
}

struct batch *batch_split(struct batch *b)
{
    struct batch *half = batch_new(b->form, b->service, b->lane);
    struct bisect *both = alloc_zeroed(1, sizeof(*both));
    uint32_t keep = (b->count + 1) / 2;

    must(b->count >= 2);
    both->refused = b->count;
    both->open = 2;
    (void)leave_bisection(b);
    b->bisect = half->bisect = both;
    half->ledger = b->ledger;
    while (b->count > keep) {
        struct list *last = b->targets.prev;

        list_remove(last);
        list_push_front(&half->targets, last);
        half->count++;
        b->count--;
    }
    return half;
}

uint32_t batch_passed(struct batch *b)
{
    if (b->bisect)
        b->bisect->passed++;
    return leave_bisection(b);
}
