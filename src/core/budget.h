/* SPDX-License-Identifier: MIT
 * The purge budget: a ledger over the sliding window sets the limit, and each lane may spend what
 * is free at once (a burst) or, when too little is free for that, at a pace that lasts until more
 * becomes free. This is pure arithmetic; store/queue keeps the durable state.
 *
 *      reserve            book (the verdict is in)             window passed
 *   ──────────▶  open  ──────────────────────────▶  spent bins ─────────────▶ free again
 *                  └── give back (never sent) ──▶ free again
 *
 * A unit is counted from before it is sent until a whole window after its reply. Without a reply,
 * the window begins when the request must have arrived. So Fastly never sees more than the budget
 * in any window, however long a request was in flight.
 *
 * With F(0) units free now, and F(t) free at t from now if nothing more is spent:
 *   pace   the largest constant rate that never has to stop: min F(t) / t over 0 < t <= window
 *   burst  as much as leaves F(t) >= t * (the lane's share of units / window) for every such t
 * After a burst of half of the budget the pace is thus half of units / window until the burst has
 * left the window. A token bucket limits how much is spent at once by all lanes together. */
#pragma once

#include "config.h"

/* The budget that a request is charged to. */
enum ledger_kind { LEDGER_PURGE, LEDGER_URL, LEDGER_WRITE, LEDGER_N };
extern const char *const ledger_names[]; /* "purge", "url", "write" */

#define BUDGET_BINS 3600                /* bins per window: one second each for Fastly's hour */
#define BUDGET_AHEAD (BUDGET_BINS / 20) /* future bins that may have counts */

#define BUDGET_RING 3840 /* the next multiple of 64, for `filled` */

struct budget_limits {
    uint64_t units; /* per window */
    uint64_t window_ns;
    uint64_t burst;         /* bucket capacity, 1..units */
    uint64_t headroom;      /* < units */
    uint8_t leaves[LANE_N]; /* what a burst of the lane leaves of units / window, in percent */
};

/* What a lane may spend without a burst, and what its bursts must leave. */
struct budget_pace {
    uint64_t rate_micro;  /* per second */
    uint64_t saved_micro; /* gained at that rate and not yet spent */
    uint64_t rest;        /* of a millionth, in billionths */
    int64_t dip_micro;    /* lowest F(t) - F(0) - t * (the lane's share of units / window) */
};

/* What a 429 taught: Fastly counts over less than our window, or another client spends. */
struct budget_learnt {
    uint64_t burst; /* at most so much at once, for a window; then it grows back; 0: nothing */
    uint64_t spent; /* our count when the 429 came, with what was open */
    uint64_t at_ns; /* may lie before the clock's zero, and wraps around then: use the age */
};

struct budget {
    struct budget_limits limits;
    uint64_t level_micro; /* bucket level in millionths of a unit */
    uint64_t refilled_ns; /* time up to which the bucket has been refilled */
    struct budget_learnt learnt;
    struct budget_pace paces[LANE_N];
    uint64_t paced_ns;    /* time up to which the paces have gained */
    uint64_t measured_ns; /* when rates and dips were measured */
    uint64_t drawn_micro; /* spent beyond the pace since then */
    bool stale;           /* they must be measured again */
    uint64_t open;
    uint64_t spent;                    /* sum of the bins */
    uint64_t tail;                     /* index of the oldest bin that may hold something */
    uint64_t filled[BUDGET_RING / 64]; /* one bit for each bin that holds something */
    uint64_t *bins; /* BUDGET_RING of them; NULL while none holds anything, because most of many
                       accounts are idle */
};

/* The limits of an account from its settings. */
struct budget_limits budget_limits_of(const struct config_account *a, enum ledger_kind l);

/* Initializes the budget of a new account: a full bucket and an empty ledger. *b must be all zero,
 * or a budget. */
void budget_init(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
void budget_deinit(struct budget *b);
/* Sets new limits (reload); spent units stay counted. */
void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
/* Restores the budget from Redis after a take-over. */
void budget_restore_level(struct budget *b, uint64_t level_micro, uint64_t age_ns, uint64_t now_ns);
/* A negative age is for requests of a predecessor that may still arrive: they are counted as spent
 * at that future time, at most BUDGET_AHEAD bins ahead. */
void budget_restore_spent(struct budget *b, uint64_t cost, int64_t age_ns, uint64_t now_ns);

/* The most a lane may reserve now, by a burst or at its pace. */
uint64_t budget_available(struct budget *b, enum lane lane, uint64_t now_ns);
/* What the lane's pace gains in about a second (in a short window: in less), at least 1: what is
 * worth a reservation. */
uint64_t budget_crumb(struct budget *b, enum lane lane, uint64_t now_ns);
/* When to look again whether `cost` is available to the lane: it cannot be earlier, and is later
 * only if the pace has to be measured again then. NEVER when it cannot be known before an open
 * reservation is booked. cost <= budget_crumb, or what was available once. */
uint64_t budget_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns);
/* The lane's pace, in millionths of a unit per second. */
uint64_t budget_pace_micro(struct budget *b, enum lane lane, uint64_t now_ns);

void budget_reserve(struct budget *b, uint64_t cost, uint64_t now_ns);   /* tokens -> open */
void budget_give_back(struct budget *b, uint64_t cost, uint64_t now_ns); /* open -> tokens */
void budget_book(struct budget *b, uint64_t cost, uint64_t now_ns);      /* open -> spent */
/* Handles a 429 when the budget is spent by our count, too. Empties the bucket down to the floor of
 * the lowest lane, so that all lanes continue at the pace of the refill and none waits for its
 * floor. */
void budget_drain(struct budget *b, uint64_t now_ns);
/* Halves the burst for a window, if there was room in the budget when the 429 came. Returns whether
 * it did. */
bool budget_learn(struct budget *b, uint64_t now_ns);
uint64_t budget_burst(const struct budget *b, uint64_t now_ns); /* the most at once, as learnt */
/* Whether a 429 still limits the burst, and since how long. */
bool budget_learnt_age(const struct budget *b, uint64_t now_ns, uint64_t *age_ns);
/* What a 429 taught a predecessor. Forgotten if we have learnt something since then. */
void budget_restore_learnt(struct budget *b, struct budget_learnt learnt);

uint64_t budget_left(struct budget *b, uint64_t now_ns); /* units - headroom - spent - open */
