/* SPDX-License-Identifier: MIT
 * What an account tells of itself: one table, of which the status JSON and the metrics are two
 * views. */
#pragma once

#include "clock.h"
#include "dispatch.h"
#include "histogram.h"
#include "overview.h"

enum fact_type { FACT_GAUGE, FACT_COUNTER, FACT_HISTOGRAM };

/* Whom a fact is asked about: a dispatch and a time, or an overview. */
struct fact_subject {
    const char *account;
    struct dispatch *dispatch;
    const struct overview *overview;
    struct now now;
};

typedef uint64_t fact_value(const struct fact_subject *s, size_t i);
typedef const struct histogram *fact_histogram(const struct fact_subject *s, size_t i);
typedef bool fact_holds(const struct fact_subject *s, size_t i);

/* One fact, or as many as its label has values: i counts them. */
struct fact {
    const char *const *names; /* in the status JSON, one for each value, NULL to leave one out */
    const char *metric;       /* NULL: in the status JSON only */
    enum fact_type type;
    const char *help;
    const char *label; /* besides the account's; NULL: none */
    const char *const *values;
    size_t count;       /* of values; 1 without a label */
    uint64_t per;       /* the value counts so many parts of the metric's unit; 0 = whole ones */
    fact_holds *holds;  /* NULL: always; what does not hold is no sample */
    fact_value *value;  /* of gauges and counters */
    fact_histogram *of; /* of histograms */
};

extern const struct fact dispatch_facts[];
extern const size_t dispatch_facts_count;
extern const struct fact backlog_facts[]; /* of overviews */
extern const size_t backlog_facts_count;
