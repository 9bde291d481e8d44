/* SPDX-License-Identifier: MIT
 * The counters of a leader's report, and how fast they grow from one report to a later one. */
#pragma once

#include "overview.h"

/* Since the leader started. */
struct overview_counts {
    uint64_t at_ms;    /* Unix time of the report, by the leader's clock */
    uint64_t sent;     /* targets, each time that a request had them */
    uint64_t requests; /* with these */
    uint64_t purged;   /* jobs */
    uint64_t errors;   /* requests to be repeated or answered with 429, jobs that became dead */
    uint64_t in_flight;
};

/* False if there is no report. A number that is missing or negative counts as 0. */
bool overview_counts(const struct overview *o, struct overview_counts *out);

/* What `of` (a member of the counts: offsetof) has grown by, per second. Counters of two leaders,
 * or of one that has started again, cannot be compared: 0 then. */
double overview_counts_rate(const struct overview_counts *before, const struct overview_counts *now,
                            size_t of);
