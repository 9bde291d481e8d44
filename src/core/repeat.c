/* SPDX-License-Identifier: MIT */
#include "repeat.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

void repeat_add(struct repeat_seen *s, uint64_t stale_ms)
{
    uint32_t sorted[REPEAT_REMEMBERED];
    uint32_t kept = min_u64(s->added + 1, REPEAT_REMEMBERED);

    s->stale_ms[s->added++ % REPEAT_REMEMBERED] = (uint32_t)min_u64(stale_ms, REPEAT_MOST_MS);
    if (kept < REPEAT_ENOUGH)
        return;
    memcpy(sorted, s->stale_ms, kept * sizeof(*sorted));
    qsort(sorted, kept, sizeof(*sorted), by_size);
    s->learnt_ms = max_u64(sorted[(kept * 99 + 99) / 100 - 1], REPEAT_LEAST_MS);
}
