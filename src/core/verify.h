/* SPDX-License-Identifier: MIT
 * Judges whether a page that was fetched after its purge is older than the purge.
 *
 * Stale is what is older than the purge, not what differs from before: a newer write is no alarm.
 * The copy's Age is compared with the time since the purge's request began, measured by one
 * monotonic clock, so no clock is compared with that of another machine. Age counts the time in all
 * caches (https://www.fastly.com/documentation/reference/http/http-headers/Age/). It is in whole
 * seconds and is cut, not rounded: a copy that may be from the second of the purge is neither fresh
 * nor stale, and is looked at again:
 *
 *   just after a whole number of seconds since the purge's answer: a copy that was fetched later
 * than that, if only a little, has an Age of a second less, and is fresh; just before a whole
 * number of seconds since the purge's request: a copy that was fetched earlier than that has this
 * Age already, and is stale. */
#pragma once

#include "base.h"
#include "sighting.h"
#include "span.h"

enum verify_result {
    VERIFY_FRESH,   /* fetched from the origin after the purge, or at the version asked for */
    VERIFY_UNKNOWN, /* cannot be told, and another look would not help */
    VERIFY_STALE,   /* older than the purge */
    VERIFY_N,       /* results of a check are the ones above, sorted from good to bad */
    VERIFY_UNSURE = VERIFY_N, /* of a single look: look again */
};
extern const char *const verify_result_names[VERIFY_N]; /* "fresh", "unknown", "stale" */

/* One look at the page. All times are monotonic, by one clock. */
struct verify_look {
    struct span head;     /* of the reply: its status line and headers */
    uint64_t began_ns;    /* just before the purge's request was written */
    uint64_t purged_ns;   /* when its answer had arrived */
    uint64_t asked_ns;    /* just before the request for the page was written */
    uint64_t answered_ns; /* when its reply had arrived */
    bool soft;       /* a soft purge: a cache may serve its stale copy once, while it fetches */
    bool seen_stale; /* this cache has been seen to do so since the purge */
    struct span
        header;        /* the number in this header decides, not the age of the copy; empty: none */
    uint64_t at_least; /* it is fresh with this number, or a higher one */
};

#define VERIFY_POP_ROOM 16

struct verify_finding {
    const char *why; /* a clause, like "the reply has no Age header"; "" for a fresh page */
    char pop[VERIFY_POP_ROOM]; /* letters, digits and hyphens only; "": the reply names none */
    bool excused; /* UNSURE, because a cache may serve its stale copy once after a soft purge */
    uint64_t again_ns; /* UNSURE, but another look at the same cache at this time will probably
                          tell; otherwise 0 */
    uint64_t older_ms; /* of a stale page: so much older than the purge, at least */
};

/* The first time from then on that is a whole number of seconds later than the purge. */
uint64_t verify_seconds_later(uint64_t purged_ns, uint64_t from_ns);

enum verify_result verify_judge(const struct verify_look *l, struct verify_finding *out);
