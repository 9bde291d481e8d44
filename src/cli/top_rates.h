/* SPDX-License-Identifier: MIT
 * Averages of a counter over the last 10, 100 and 1,000 seconds, from readings about a second
 * apart. */
#pragma once

#include "base.h"

#define TOP_RATES_S 1000

enum top_span { TOP_10_S, TOP_100_S, TOP_1000_S, TOP_SPAN_N };

struct top_reading {
    uint64_t at_ms;
    uint64_t total;
};

struct top_rates {
    struct top_reading ring[TOP_RATES_S + 1];
    uint32_t count, next;
    uint64_t last; /* the counter at the last reading */
};

/* Adds a reading; at most one a second is kept. A counter that is lower than before has started
 * again from 0. `at_ms` never goes back. */
void top_rates_add(struct top_rates *r, uint64_t counter, uint64_t at_ms);
/* What comes next cannot be compared with what was: another leader counts from another start. */
void top_rates_break(struct top_rates *r, uint64_t counter);

/* Per second, over that time, or over the time since the first reading if that is shorter. */
double top_rates_of(const struct top_rates *r, enum top_span span);
