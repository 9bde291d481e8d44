/* SPDX-License-Identifier: MIT */
#include "arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

void arrivals_deinit(struct arrivals *w)
{
    free(w->at);
    *w = (struct arrivals){0};
}

void arrivals_copy(struct arrivals *to, const struct arrivals *from)
{
    arrivals_deinit(to);
    *to = *from;
    to->at = alloc_zeroed(from->room + 1, sizeof(*to->at));
    if (from->room)
        memcpy(to->at, from->at, from->room * sizeof(*to->at));
}

static void put_arrival(struct arrivals *w, uint64_t at_ns, uint64_t cost)
{
    if (w->first + w->count == w->room) {
        if (w->first)
            memmove(w->at, w->at + w->first, w->count * sizeof(*w->at));
        w->first = 0;
        if (w->count * 2 >= w->room) {
            w->room = w->room ? w->room * 2 : 64;
            w->at = alloc_grow(w->at, w->room, sizeof(*w->at));
        }
    }
    w->at[w->first + w->count++] = (struct arrival){at_ns, cost};
    w->sum += cost;
}

uint64_t arrivals_add(struct arrivals *w, uint64_t at_ns, uint64_t cost, uint64_t window_ns)
{
    while (w->count && w->at[w->first].at_ns + window_ns <= at_ns) {
        w->sum -= w->at[w->first++].cost;
        w->count--;
    }
    put_arrival(w, at_ns, cost);
    return w->sum;
}
