/* SPDX-License-Identifier: MIT
 * Limits the requests in flight of an account: first no limit; after a failure nothing for a while,
 * then one request as a probe, then gradually more. The same brake serves a 429, an outage and a
 * refused token.
 *
 *            429, outage, 401                    time is up
 *   FREE ─────────────────────▶ HELD ───────────────────────▶ PROBING (one request)
 *    ▲                           ▲  ▲                          │       │
 *    │ limit reached             │  └──────── bad again ───────┘       │ good
 *    └───────── GROWING ◀────────┼─────────────────────────────────────┘
 *                  └── bad ──────┘ */
#pragma once

#include "base.h"

enum brake_state {
    BRAKE_FREE,    /* the brake sets no limit */
    BRAKE_HELD,    /* nothing is sent before until_ns */
    BRAKE_PROBING, /* one request at a time */
    BRAKE_GROWING, /* limit requests; one more for every good answer */
};

extern const char *const brake_state_names[];

enum brake_cause { BRAKE_THROTTLE, BRAKE_OUTAGE, BRAKE_TOKEN };
extern const char *const brake_cause_names[]; /* "throttled", "outage", "token refused" */

/* This many consecutive failures, without a success between them, are an outage. */
#define BRAKE_OUTAGE_AFTER 8

struct brake {
    enum brake_state state;
    enum brake_cause cause; /* of the last hold */
    uint64_t until_ns;
    uint64_t since_ns; /* time since which this cause has had no success; 0 while free or growing */
    uint32_t tries;    /* consecutive holds without a hint and without a return to FREE */
    uint32_t limit;
    uint32_t failures; /* in a row */
    uint32_t epoch;    /* number of the latest hold or release; a reply to a request from an earlier
                          epoch can only make the present hold longer */
};

void brake_init(struct brake *b);

/* Returns how many requests may be in flight now, at most `max`. Moves HELD to PROBING when the
 * hold is over. */
uint32_t brake_limit(struct brake *b, uint32_t max, uint64_t now_ns);

/* Reports of replies, with the epoch in which the request was sent. */
void brake_good(struct brake *b, uint32_t epoch, uint32_t max);
/* A transport failure or 5xx. Returns true when this failure begins an outage. */
bool brake_failure(struct brake *b, uint32_t epoch, uint64_t wait_ms, uint64_t now_ns);
/* A 429 or a refused token: wait_ms is the server's hint; without a hint (0) the hold lasts 1 s, 2
 * s, 4 s ... 60 s. Returns true if this begins a hold, false for a request of an earlier epoch: its
 * hint then makes a hold that is in effect last longer, if it ends later. */
bool brake_hold(struct brake *b, enum brake_cause cause, uint32_t epoch, uint64_t wait_ms,
                uint64_t now_ns);
uint64_t brake_wait_ms(const struct brake *b, uint64_t now_ns); /* until the hold ends */
void brake_release(struct brake *b); /* an operator releases the brake: FREE at once */
