/* SPDX-License-Identifier: MIT
 * How the rows of the tables of metrics are written: those of dispatch in stats.c, those of the
 * backlog in stats_backlog.c. */
#pragma once

#include "job.h"
#include "reads.h"
#include "stats.h"

#define ONE(name)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        name                                                                                       \
    }
#define LABEL(name, list, n) .label = (name), .values = (list), .count = (n)
#define ALONE .count = 1 /* no label */
#define LANES LABEL("lane", lane_names, LANE_N)
#define READS LABEL("limit", read_names, READ_N)

#define HISTOGRAM(fn, expression)                                                                  \
    static const struct histogram *fn(const struct stats_subject *s, size_t i)                     \
    {                                                                                              \
        return &s->dispatch->counts.expression;                                                    \
    }
