/* SPDX-License-Identifier: MIT
 * How long things took, counted in buckets of fixed bounds: 0.5 ms, then 1, 2, 5 of every decade up
 * to 5,000 s, and beyond. Adding is O(1), nothing is allocated. */
#pragma once

#include "base.h"

#define HISTOGRAM_BOUNDS 22

struct histogram {
    uint64_t sum_us;
    uint64_t count[HISTOGRAM_BOUNDS + 1]; /* per bucket, not cumulative; the last has no bound */
};

/* The inclusive upper bounds, in microseconds. */
extern const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS];

void histogram_add(struct histogram *h, uint64_t us);
uint64_t histogram_count(const struct histogram *h);

/* What `permille` of a thousand stayed below, at most one bucket away from the truth: within its
 * bucket they are taken for evenly spread. Beyond the last bound it is that bound; 0 when nothing
 * was counted. */
uint64_t histogram_quantile_us(const struct histogram *h, uint32_t permille);
