/* SPDX-License-Identifier: MIT
 * What may be spent: a token bucket that paces and a ledger over the sliding window that caps. Pure
 * arithmetic; the durable half is store/queue's.
 *
 *      reserve            book (the verdict is in)             window passed
 *   ──────────▶  open  ──────────────────────────▶  spent bins ─────────────▶ free again
 *                  └── give back (never sent) ──▶ free again
 *
 * A unit stays counted from before it is sent until a whole window after its answer, or, where none
 * came, after it must have arrived; so however long the request was on its way, the receiving side
 * never sees more than the budget in any window. */
#pragma once

#include "config.h"

/* Which count a request draws on. */
enum ledger { LEDGER_PURGE, LEDGER_URL, LEDGER_WRITE, LEDGER_N };
extern const char *const ledger_names[]; /* "purge", "url", "write" */

#define BUDGET_BINS 3600                /* bins per window: one second each for Fastly's hour */
#define BUDGET_AHEAD (BUDGET_BINS / 20) /* bins after now in which something may be counted */

struct budget_limits {
    uint64_t units; /* per window */
    uint64_t window_ns;
    uint64_t burst;    /* bucket capacity, 1..units */
    uint64_t headroom; /* < units */
};

struct budget {
    struct budget_limits limits;
    uint64_t level_micro; /* bucket level in millionths of a unit */
    uint64_t refilled_ns; /* up to when the bucket is accounted */
    uint64_t open;
    uint64_t spent; /* sum of the bins */
    uint64_t tail;  /* index of the oldest bin that may hold something */
    uint64_t bins[BUDGET_BINS + BUDGET_AHEAD + 2];
};

/* An account's limits, as the settings say. */
struct budget_limits budget_limits_of(const struct config_account *a, enum ledger l);

/* A bucket that starts full and a ledger that starts empty: an account never seen before. */
void budget_init(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
/* New limits (reload): what was spent stays spent. */
void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now_ns);
/* From the durable half, after a take-over. */
void budget_restore_level(struct budget *b, uint64_t level_micro, uint64_t age_ns, uint64_t now_ns);
/* A negative age: what a predecessor had on the wire may arrive so much later than now, and is
 * counted as spent then; at most BUDGET_AHEAD bins. */
void budget_restore_spent(struct budget *b, uint64_t cost, int64_t age_ns, uint64_t now_ns);

/* The most a lane may reserve now: whatever is tighter of its bucket floor and its ledger floor. */
uint64_t budget_available(struct budget *b, enum lane lane, uint64_t now_ns);
/* The largest cost the lane could ever reserve at once. */
uint64_t budget_largest(const struct budget *b, enum lane lane);
/* The earliest time `cost` may be available to the lane if nobody else reserves; NEVER when it
 * cannot be known before an open reservation is booked. cost <= budget_largest. */
uint64_t budget_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns);

void budget_reserve(struct budget *b, uint64_t cost, uint64_t now_ns);   /* tokens -> open */
void budget_give_back(struct budget *b, uint64_t cost, uint64_t now_ns); /* open -> tokens */
void budget_book(struct budget *b, uint64_t cost, uint64_t now_ns);      /* open -> spent */
/* 429 in spite of our count: somebody else spends. The burst is gone; what stays is the floor of
 * the lowest lane, so that all lanes go on at the pace of the refill and none waits for its floor.
 */
void budget_drain(struct budget *b, uint64_t now_ns);

uint64_t budget_left(struct budget *b, uint64_t now_ns); /* units - headroom - spent - open */
