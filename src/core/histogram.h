/* SPDX-License-Identifier: MIT
 * A histogram of durations with fixed bucket bounds: 0.5 ms, then 1, 2, 5 of every decade up to
 * 5,000 s, and one bucket beyond. Adding is O(1) and allocates nothing. */
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

/* The duration that `permille` of a thousand values do not exceed, accurate to one bucket: values
 * are assumed to be evenly spread within a bucket. Beyond the last bound it returns the last bound;
 * 0 if nothing was counted. */
uint64_t histogram_quantile_us(const struct histogram *h, uint32_t permille);
