/* SPDX-License-Identifier: MIT
 * The purge budget: a token bucket sets the pace, and a ledger over the sliding window sets the
 * limit. This is pure arithmetic; store/queue keeps the durable state.
 *
 *      reserve            book (the verdict is in)             window passed
 *   ──────────▶  open  ──────────────────────────▶  spent bins ─────────────▶ free again
 *                  └── give back (never sent) ──▶ free again
 *
 * A unit is counted from before it is sent until a whole window after its reply. Without a reply,
 * the window begins when the request must have arrived. So Fastly never sees more than the budget
 * in any window, however long a request was in flight. */
#pragma once

#include "config.h"

/* The budget that a request is charged to. */
enum ledger_kind { LEDGER_PURGE, LEDGER_URL, LEDGER_WRITE, LEDGER_N };
extern const char *const ledger_names[]; /* "purge", "url", "write" */

#define BUDGET_BINS 3600                /* bins per window: one second each for Fastly's hour */
#define BUDGET_AHEAD (BUDGET_BINS / 20) /* future bins that may have counts */

struct budget_limits {
    uint64_t units; /* per window */
    uint64_t window_ns;
    uint64_t burst;    /* bucket capacity, 1..units */
    uint64_t headroom; /* < units */
};

struct budget {
    struct budget_limits limits;
    uint64_t level_micro; /* bucket level in millionths of a unit */
    uint64_t refilled_ns; /* time up to which the bucket has been refilled */
    uint64_t open;
    uint64_t spent; /* sum of the bins */
    uint64_t tail;  /* index of the oldest bin that may hold something */
    uint64_t bins[BUDGET_BINS + BUDGET_AHEAD + 2];
};

/* The limits of an account from its settings. */
struct budget_limits budget_limits_of(const struct config_account *a, enum ledger_kind l);

/* Initializes the budget of a new account: a full bucket and an empty ledger. */
void budget_init(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
/* Sets new limits (reload); spent units stay counted. */
void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
/* Restores the budget from Redis after a take-over. */
void budget_restore_level(struct budget *b, uint64_t level_micro, uint64_t age_ns, uint64_t now_ns);
/* A negative age is for requests of a predecessor that may still arrive: they are counted as spent
 * at that future time, at most BUDGET_AHEAD bins ahead. */
void budget_restore_spent(struct budget *b, uint64_t cost, int64_t age_ns, uint64_t now_ns);

/* The most a lane may reserve now, limited by its floor in the bucket and its floor in the
 * ledger. */
uint64_t budget_available(struct budget *b, enum lane lane, uint64_t now_ns);
/* The largest cost the lane can ever reserve at once. */
uint64_t budget_largest(const struct budget *b, enum lane lane);
/* The earliest time `cost` may be available to the lane if nobody else reserves; NEVER when it
 * cannot be known before an open reservation is booked. cost <= budget_largest. */
uint64_t budget_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns);

void budget_reserve(struct budget *b, uint64_t cost, uint64_t now_ns);   /* tokens -> open */
void budget_give_back(struct budget *b, uint64_t cost, uint64_t now_ns); /* open -> tokens */
void budget_book(struct budget *b, uint64_t cost, uint64_t now_ns);      /* open -> spent */
/* Handles a 429 although our count was within the budget, which means that another client uses it.
 * Empties the bucket down to the floor of the lowest lane, so that all lanes continue at the pace
 * of the refill and none waits for its floor. */
void budget_drain(struct budget *b, uint64_t now_ns);

uint64_t budget_left(struct budget *b, uint64_t now_ns); /* units - headroom - spent - open */
