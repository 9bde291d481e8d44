/* SPDX-License-Identifier: MIT
 * An account's money: the budgets of core, made durable before they are spent.
 *
 *   budget ──ask──▶ asked of Redis ──yes──▶ granted ──spend──▶ on the wire ──book──▶ spent
 *                        └── no answer: back to the budget          └── never sent: granted again
 */
#pragma once

#include "clock.h"
#include "lanes.h"
#include "queue.h"

/* How long a lease holds. */
#define LEASE_TTL_MS 10000u

struct purse;

typedef void purse_changed_cb(void *ctx,
                              int err); /* something was granted (0), or refused: -EPERM */

struct purse *purse_new(const struct config_account *a, struct queue *q, uint64_t now_ns,
                        purse_changed_cb *changed, void *ctx);
void purse_free(struct purse *p); /* its queue must be closed */
void purse_configure(struct purse *p, const struct config_account *a, uint64_t now_ns);

/* How much of what is missing to ask for now; 0: too little to be worth it, and *when_ns is lowered
 * to when it will be. The same for the daemon and for `plan`. */
uint64_t purse_portion(struct budget *b, enum lane lane, uint64_t missing, uint64_t now_ns,
                       uint64_t *when_ns);

/* Forgets all and reads what Redis knows; `changed` comes when every ledger is there. */
void purse_restore(struct purse *p);
bool purse_ready(const struct purse *p);

/* Sees to it that up to `want` units lie granted or are asked for, as far as the lane may. Below
 * its share of a second it rather waits than asks for crumbs: then *when_ns is lowered to when to
 * come again. */
void purse_ask(struct purse *p, enum ledger l, enum lane lane, uint64_t want, uint64_t now_ns,
               uint64_t *when_ns);
/* What may be spent at once. */
const struct grant *purse_grant(const struct purse *p);
void purse_spend(struct purse *p, enum ledger l, uint64_t cost);
void purse_unspend(struct purse *p, enum ledger l, uint64_t cost); /* never sent */
void purse_book(struct purse *p, enum ledger l, uint64_t cost, uint64_t now_ns);
/* Nobody answered: it may still be on its way, and stays open until it must have arrived. */
void purse_book_late(struct purse *p, enum ledger l, uint64_t cost, uint64_t now_ns);
void purse_drain(struct purse *p, enum ledger l, uint64_t now_ns); /* 429: somebody else spends */
/* Writes bookings down that have waited for a bin's time. Returns when to come again. */
uint64_t purse_flush(struct purse *p, uint64_t now_ns);

/* The account's time, once restored, for Redis to keep. */
struct queue_clock purse_clock(const struct purse *p, struct now now);

uint64_t purse_left(struct purse *p, enum ledger l, uint64_t now_ns);
uint64_t purse_spent_total(const struct purse *p, enum ledger l); /* since the process began */
