/* SPDX-License-Identifier: MIT
 * What has arrived within a sliding window. */
#pragma once

#include "base.h"

struct arrivals {
    struct arrival {
        uint64_t at_ns, cost;
    } * at;
    size_t first, count, room;
    uint64_t sum;
};

void arrivals_deinit(struct arrivals *a);
void arrivals_copy(struct arrivals *to, const struct arrivals *from);
/* One more, not before the last one. Returns the cost within the window that ends with it. */
uint64_t arrivals_add(struct arrivals *a, uint64_t at_ns, uint64_t cost, uint64_t window_ns);
