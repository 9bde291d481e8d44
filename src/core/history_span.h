/* SPDX-License-Identifier: MIT
 * Which entry of the history may have the line of a job: the ids of an entry's jobs as ranges, one
 * for each four seconds in which such jobs were accepted. scripts/shared/write_entry.lua writes
 * them down, place_in_time.lua finds a job among them. */
#pragma once

#include "base.h"

#define HISTORY_SPAN_MS 4000u
#define HISTORY_SPANS_MAX 256

struct history_span {
    uint64_t first_ms, first_seq, last_ms, last_seq; /* the smallest and the largest id */
};

struct history_spans {
    size_t count;
    struct history_span at[HISTORY_SPANS_MAX];
};

/* Whether an id has the form that Redis gives it, at least until the year 5138. Others are only
 * written by hand, and their receipts are keys. */
bool history_span_fits(uint64_t ms, uint64_t seq);
/* At most HISTORY_SPANS_MAX ids. */
void history_spans_add(struct history_spans *s, uint64_t ms, uint64_t seq);
/* The place of an id within its four seconds, as an integer that a double can hold. */
uint64_t history_span_score(uint64_t ms, uint64_t seq);
