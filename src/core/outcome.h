/* SPDX-License-Identifier: MIT
 * What becomes of a job or a target. */
#pragma once

#include <stdbool.h>

/* The ends are sorted from best to worst: the outcome of a job is the worst one of its targets. */
enum outcome {
    OUTCOME_PURGED,
    OUTCOME_EXPIRED,
    OUTCOME_CANCELLED,
    OUTCOME_DEAD,
    OUTCOME_LATER, /* not an end: the job is postponed */
    OUTCOME_N
};

/* As in receipts and as the scripts in Redis know them. */
extern const char *const outcome_names[OUTCOME_N];
/* Whether this is the name of an end. */
bool outcome_is_end(const char *name);
