/* SPDX-License-Identifier: MIT */
#include "vitals.h"

#include "stats_prometheus.h"

void vitals_fill(struct vitals *v, enum vitals_wanted wanted, struct dispatch *const *accounts,
                 uint32_t count)
{
    struct now now = clock_now();

    for (uint32_t i = 0; i < count && !v->stalled; i++)
        v->stalled = dispatch_stalled(accounts[i], now, v->why, sizeof(v->why));
    for (uint32_t i = 0; i < count && !v->troubled; i++)
        v->troubled = dispatch_troubled(accounts[i], now, v->trouble, sizeof(v->trouble));
    if (wanted == VITALS_AND_METRICS)
        metrics_render(accounts, count, now, &v->metrics);
}
