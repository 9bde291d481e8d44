/* SPDX-License-Identifier: MIT
 * The state of an account in one sentence for people. */
#pragma once

#include "overview.h"

enum overview_mood {
    OVERVIEW_GOOD,    /* nothing to do */
    OVERVIEW_SLOWED,  /* it recovers by itself; look again later */
    OVERVIEW_TROUBLE, /* it will not recover, or not soon, unless somebody acts */
};

#define OVERVIEW_WORDS_MAX 800

/* The result is printable, whatever other programs wrote into Redis. `room` is OVERVIEW_WORDS_MAX.
 */
enum overview_mood overview_words(const struct overview *o, char *out, size_t room);

/* How many jobs wait for their origin, and what was seen of one last, like "https://o.example/v
 * still answers x-version: 16 (wanted at least 17)", or "". False if none does. */
bool overview_origin(const struct overview *o, char *out, size_t room, uint64_t *jobs);

/* The leader's last error from Fastly, like "status 503: ...", and its age. False if there is none.
 */
bool overview_last_error(const struct overview *o, char *out, size_t room, uint64_t *age_ms);
/* A 429 that came although units were left by the leader's count, and what followed. */
struct overview_early {
    uint64_t at_ms, halved_until_ms, less_until_ms; /* Unix milliseconds */
    uint64_t spent, units;                          /* by the leader's count at that time */
    uint64_t burst;                                 /* at most so much at once until then */
    bool growing;                                   /* the burst grows back already */
};
/* False if none came to this ledger, or the burst is again as large as before. */
bool overview_refused_early(const struct overview *o, enum ledger_kind l,
                            struct overview_early *out);
/* What the leader's looks at pages after their purges have found since it started. */
struct overview_verified {
    uint64_t fresh, unknown, stale; /* pages */
    uint64_t repairs;               /* further purges of stale pages */
    uint64_t pending;               /* pages */
};
/* False if there were none. */
bool overview_verified(const struct overview *o, struct overview_verified *out);
/* True if the leader knows no service, so that jobs with keys become dead letters. */
bool overview_no_service(const struct overview *o);
/* Why the leader's HTTP endpoint is not listening although it should. False if it is listening. */
bool overview_http(const struct overview *o, char *out, size_t room);
/* Settings whose new values wait for a restart of the leader, like "senders, window". False if
 * there are none. */
bool overview_needs_restart(const struct overview *o, char *out, size_t room);
/* What a canary of the leader shows: a fault, and what to do. False if there are no more. The text
 * was written by the leader, and is escaped for a log line. */
struct overview_canary {
    char what[1600], advice[400];
};
bool overview_canary(const struct overview *o, size_t index, struct overview_canary *out);
/* Purge-alls of the last hour that others sent. False: not known. */
bool overview_others_purge_alls(const struct overview *o, uint64_t *count);
uint64_t overview_canaries_ok(const struct overview *o); /* how many show none */
/* What `repeat_after: auto` means for a service, as the leader has learnt. False if there are no
 * more. */
struct overview_repeat {
    char service[160];
    uint64_t after_ms;
};
bool overview_repeat(const struct overview *o, size_t index, struct overview_repeat *out);
