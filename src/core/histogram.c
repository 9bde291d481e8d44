/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#define DECADE(us) (us), 2 * (us), 5 * (us)

const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS] = {
    500,
    DECADE(UINT64_C(1000)),
    DECADE(UINT64_C(10000)),
    DECADE(UINT64_C(100000)),
    DECADE(UINT64_C(1000000)),
    DECADE(UINT64_C(10000000)),
    DECADE(UINT64_C(100000000)),
    DECADE(UINT64_C(1000000000)),
};

/* The first bucket whose upper bound is at least `us` microseconds. */
static uint32_t bucket_of(uint64_t us)
{
    uint32_t from = 0, to = HISTOGRAM_BOUNDS;

    while (from < to) {
        uint32_t middle = (from + to) / 2;

        if (histogram_bounds_us[middle] < us)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    h->sum_us += us;
    h->count[bucket_of(us)]++;
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        n += h->count[i];
    return n;
}

uint64_t histogram_quantile_us(const struct histogram *h, uint32_t permille)
{
    uint64_t all = histogram_count(h), below = 0;
    uint64_t rank = max_u64((all * permille + 999) / 1000, 1);

    for (uint32_t i = 0; all > 0 && i < HISTOGRAM_BOUNDS; i++) {
        uint64_t low = i ? histogram_bounds_us[i - 1] : 0;

        if (below + h->count[i] >= rank)
            return low + (histogram_bounds_us[i] - low) * (rank - below) / h->count[i];
        below += h->count[i];
    }
    return all ? histogram_bounds_us[HISTOGRAM_BOUNDS - 1] : 0;
}
