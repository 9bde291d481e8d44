/* SPDX-License-Identifier: MIT */
#include "overview_counts.h"

#include <jansson.h>

static uint64_t count_of(const json_t *report, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(report, name));

    return n > 0 ? (uint64_t)n : 0;
}

bool overview_counts(const struct overview *o, struct overview_counts *out)
{
    json_t *j = o->status ? json_loads(o->status, 0, NULL) : NULL;
    bool known = json_is_object(j);

    *out = (struct overview_counts){
        .at_ms = count_of(j, "at"),
        .sent =
            minus_u64(count_of(j, "requests"), count_of(j, "batches")) + count_of(j, "batch_keys"),
        .requests = count_of(j, "requests"),
        .purged = count_of(j, "jobs_purged"),
        .errors = count_of(j, "retries") + count_of(j, "throttled") + count_of(j, "jobs_dead") +
                  count_of(j, "jobs_malformed"),
        .in_flight = count_of(j, "in_flight"),
    };
    json_decref(j);
    return known;
}

static uint64_t count_at(const struct overview_counts *c, size_t of)
{
    uint64_t n;

    memcpy(&n, (const char *)c + of, sizeof(n));
    return n;
}

double overview_counts_rate(const struct overview_counts *before, const struct overview_counts *now,
                            size_t of)
{
    uint64_t was = count_at(before, of), is = count_at(now, of);

    if (now->at_ms <= before->at_ms || now->requests < before->requests || is < was)
        return 0;
    return (double)(is - was) * 1000 / (double)(now->at_ms - before->at_ms);
}
