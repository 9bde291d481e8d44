/* SPDX-License-Identifier: MIT
 * The facts that an account reports: one table, from which the status JSON and the metrics are
 * generated. */
#pragma once

#include "clock.h"
#include "dispatch.h"
#include "histogram.h"
#include "overview.h"

enum fact_type { FACT_GAUGE, FACT_COUNTER, FACT_HISTOGRAM };

/* The subject of a fact: a dispatcher and a time, or an overview. */
struct fact_subject {
    const char *account;
    struct dispatch *dispatch;
    const struct overview *overview;
    struct now now;
};

typedef uint64_t fact_value(const struct fact_subject *s, size_t i);
typedef const struct histogram *fact_histogram(const struct fact_subject *s, size_t i);
typedef bool fact_holds(const struct fact_subject *s, size_t i);

/* One fact, or one for each value of its label, numbered by i. */
struct fact {
    const char *const *names; /* in the status JSON, one for each value, NULL to leave one out */
    const char *metric;       /* NULL: in the status JSON only */
    enum fact_type type;
    const char *help;
    const char *label; /* besides the account's; NULL: none */
    const char *const *values;
    size_t count;       /* of values; 1 without a label */
    uint64_t per;       /* divisor from the value to the unit of the metric; 0 = 1 */
    fact_holds *holds;  /* whether there is a sample; NULL: always */
    fact_value *value;  /* of gauges and counters */
    fact_histogram *of; /* of histograms */
};

extern const struct fact dispatch_facts[];
extern const size_t dispatch_facts_count;
extern const struct fact backlog_facts[]; /* of overviews */
extern const size_t backlog_facts_count;
