/* SPDX-License-Identifier: MIT
 * The statistics of an account: one table, from which the status JSON and the metrics are
 * generated. */
#pragma once

#include "clock.h"
#include "dispatch.h"
#include "histogram.h"
#include "overview.h"

enum stats_type { STATS_GAUGE, STATS_COUNTER, STATS_HISTOGRAM };

/* What a statistic describes: a dispatcher at a time, or an overview. */
struct stats_subject {
    const char *account;
    struct dispatch *dispatch;
    const struct overview *overview;
    struct now now;
};

typedef uint64_t stats_value(const struct stats_subject *s, size_t i);
typedef const struct histogram *stats_histogram(const struct stats_subject *s, size_t i);
typedef bool stats_holds(const struct stats_subject *s, size_t i);

/* One statistic, or one for each value of its label, numbered by i. */
struct stats_item {
    const char *const *names; /* in the status JSON, one for each value, NULL to leave one out */
    const char *metric;       /* NULL: in the status JSON only */
    enum stats_type type;
    const char *help;
    const char *label; /* besides the account's; NULL: none */
    const char *const *values;
    size_t count;        /* of values; 1 without a label */
    uint64_t per;        /* divisor from the value to the unit of the metric; 0 = 1 */
    stats_holds *holds;  /* whether there is a sample; NULL: always */
    stats_value *value;  /* of gauges and counters */
    stats_histogram *of; /* of histograms */
};

extern const struct stats_item dispatch_stats[];
extern const size_t dispatch_stats_count;
extern const struct stats_item backlog_stats[]; /* of overviews */
extern const size_t backlog_stats_count;
