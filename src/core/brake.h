/* SPDX-License-Identifier: MIT
 * How many requests an account may have on the wire: all of them, none for a while, one to find
 * out, then more and more again. One brake serves a 429, an outage and a dead token.
 *
 *            429, outage, 401                    time is up
 *   FREE ─────────────────────▶ HELD ───────────────────────▶ PROBING (one request)
 *    ▲                           ▲  ▲                          │       │
 *    │ limit reached             │  └──────── bad again ───────┘       │ good
 *    └───────── GROWING ◀────────┼─────────────────────────────────────┘
 *                  └── bad ──────┘
 */
#pragma once

#include "base.h"

enum brake_state {
    BRAKE_FREE,    /* no limit of its own */
    BRAKE_HELD,    /* nothing is sent before until_ns */
    BRAKE_PROBING, /* one request at a time */
    BRAKE_GROWING, /* limit requests; one more for every good answer */
};

extern const char *const brake_state_names[];

enum brake_cause { BRAKE_THROTTLE, BRAKE_OUTAGE, BRAKE_TOKEN };
extern const char *const brake_cause_names[]; /* "throttled", "outage", "token refused" */

/* So many failures in a row, with nothing good between them, are an outage. */
#define BRAKE_OUTAGE_AFTER 8

struct brake {
    enum brake_state state;
    enum brake_cause cause; /* of the last hold */
    uint64_t until_ns;
    uint64_t since_ns; /* nothing good came for this cause since; 0 when it is free or growing */
    uint32_t tries;    /* holds in a row without a hint and without a way back to FREE */
    uint32_t limit;
    uint32_t failures; /* in a row */
    uint32_t epoch;    /* answers to requests of an earlier epoch say nothing about now */
};

void brake_init(struct brake *b);

/* Requests that may be on the wire now, at most `max`. Moves HELD to PROBING when time is up. */
uint32_t brake_limit(struct brake *b, uint32_t max, uint64_t now_ns);

/* Answers, with the epoch their request was sent in. */
void brake_good(struct brake *b, uint32_t epoch, uint32_t max);
/* A transport failure or 5xx. Returns true when this one made it an outage. */
bool brake_failure(struct brake *b, uint32_t epoch, uint64_t wait_ms, uint64_t now_ns);
/* A 429 or a refused token: wait_ms is the server's hint, 0 = none: then 1 s, 2 s, 4 s ... 60 s.
 * Returns true when this begins a hold, false when one was on already. */
bool brake_hold(struct brake *b, enum brake_cause cause, uint32_t epoch, uint64_t wait_ms,
                uint64_t now_ns);
void brake_release(struct brake *b); /* an operator says so: free at once */
