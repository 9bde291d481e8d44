/* SPDX-License-Identifier: MIT
 * The budgets of an account, recorded in Redis before they are spent.
 *
 *   budget ──ask──▶ asked of Redis ──yes──▶ granted ──spend──▶ on the wire ──book──▶ spent
 *                        └── no answer: back to the budget          └── never sent: granted
 * again */
#pragma once

#include "clock.h"
#include "lanes.h"
#include "queue.h"

/* How long a lease holds. */
#define LEASE_TTL_MS 10000u

struct ledgers;

typedef void ledger_changed_cb(void *ctx, int err); /* units were granted (0) or refused (-EPERM) */

/* Units that Redis has granted are added to `grant`, which must live as long. */
struct ledgers *ledger_new(const struct config_account *a, struct queue *q, struct grant *grant,
                           uint64_t now_ns, ledger_changed_cb *changed, void *ctx);
void ledger_free(struct ledgers *p); /* its queue must be closed */
/* The new limits hold at once: what was granted within the old ones, and is not spent, is given
 * back. */
void ledger_configure(struct ledgers *p, const struct config_account *a, uint64_t now_ns);

/* Whether Redis may lose its last writes. If so, no more is reserved within LEDGER_LOSS_MS than
 * Redis was promised before (promise.h); that is what the next leader counts as spent after a
 * failover or restart of Redis. A leader whose Redis is cut off from its replicas, and goes on
 * answering it while another one has become master, is only prevented by redis_replicas. */
#define LEDGER_LOSS_MS 1000u
void ledger_set_frail(struct ledgers *p, bool frail);

/* How many of the missing units to request now; 0: too few to be worth a request, and *when_ns is
 * lowered to the time when there will be enough. Used by the daemon and by `plan`. */
uint64_t ledger_portion(struct budget *b, enum lane lane, uint64_t missing, uint64_t now_ns,
                        uint64_t *when_ns);

/* Forgets everything and reads the ledgers from Redis; calls `changed` when every ledger has been
 * read. */
void ledger_restore(struct ledgers *p);
bool ledger_ready(const struct ledgers *p);

/* Requests units until `want` units are granted or requested, within the limit of the lane. It does
 * not request less than the lane's share of a second; it then lowers *when_ns to the time of the
 * next call. */
void ledger_ask(struct ledgers *p, enum ledger_kind l, enum lane lane, uint64_t want,
                uint64_t now_ns, uint64_t *when_ns);
void ledger_book(struct ledgers *p, enum ledger_kind l, uint64_t cost, uint64_t now_ns);
/* For a request without a reply, which may still arrive: its units stay open until it must have
 * arrived. */
void ledger_book_late(struct ledgers *p, enum ledger_kind l, uint64_t cost, uint64_t now_ns);
void ledger_drain(struct ledgers *p, enum ledger_kind l,
                  uint64_t now_ns); /* after a 429 when our count was full as well */
/* Halves the burst for a window, if our count says that there was room when the 429 came. Returns
 * whether it did. Redis is told with the next booking, so that whoever leads next knows it. */
bool ledger_learn(struct ledgers *p, enum ledger_kind l, uint64_t now_ns);
/* Writes bookings to Redis that have waited for the length of a bin. Returns when to call it
 * again. */
uint64_t ledger_flush(struct ledgers *p, uint64_t now_ns);

/* Before the lease is given back: returns what is reserved and not used, and writes what is booked,
 * so that the successor neither loses nor gains a unit. Returns whether all of it is in Redis, or
 * cannot be; otherwise it is called again when `changed` was. */
must_use bool ledger_close(struct ledgers *p, uint64_t now_ns);

/* The account's time to be stored in Redis, once it has been restored. */
struct queue_clock ledger_clock(const struct ledgers *p, struct now now);

uint64_t ledger_left(struct ledgers *p, enum ledger_kind l, uint64_t now_ns);
/* What a 429 taught, and how long ago. False if no burst is smaller for it. */
bool ledger_learnt(const struct ledgers *p, enum ledger_kind l, uint64_t now_ns,
                   struct budget_learnt *learnt, uint64_t *age_ns);
uint64_t ledger_burst(const struct ledgers *p, enum ledger_kind l, uint64_t now_ns);
/* What may be spent per second until more leaves the window, in millionths of a unit. */
uint64_t ledger_pace_micro(struct ledgers *p, enum ledger_kind l, uint64_t now_ns);
/* What the lane could still request now. */
uint64_t ledger_at_once(struct ledgers *p, enum ledger_kind l, enum lane lane, uint64_t now_ns);
uint64_t ledger_spent_total(const struct ledgers *p,
                            enum ledger_kind l); /* since the process began */
