/* SPDX-License-Identifier: MIT */
#include "top_rates.h"

#define READINGS (TOP_RATES_S + 1)
#define APART_MS 900 /* readings are a second apart, but no clock is exact */

static const struct top_reading *latest(const struct top_rates *r)
{
    return &r->ring[(r->next + READINGS - 1) % READINGS];
}

void top_rates_add(struct top_rates *r, uint64_t counter, uint64_t at_ms)
{
    uint64_t grown = counter >= r->last ? counter - r->last : counter;
    struct top_reading now = {at_ms, 0};

    if (r->count) {
        if (at_ms < latest(r)->at_ms + APART_MS)
            return;
        now.total = latest(r)->total + grown;
    }
    r->last = counter;
    r->ring[r->next] = now;
    r->next = (r->next + 1) % READINGS;
    r->count += r->count < READINGS;
}

void top_rates_break(struct top_rates *r, uint64_t counter)
{
    r->last = counter;
}

double top_rates_of(const struct top_rates *r, enum top_span span)
{
    static const uint64_t spans_ms[] = {
        [TOP_10_S] = 10000, [TOP_100_S] = 100000, [TOP_1000_S] = 1000000};
    const struct top_reading *now, *then;

    if (r->count < 2)
        return 0;
    now = then = latest(r);
    for (uint32_t back = 2; back <= r->count && now->at_ms - then->at_ms < spans_ms[span]; back++)
        then = &r->ring[(r->next + READINGS - back) % READINGS];
    return (double)(now->total - then->total) * 1000 / (double)(now->at_ms - then->at_ms);
}
