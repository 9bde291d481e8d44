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

struct purse;

typedef void purse_changed_cb(void *ctx, int err); /* units were granted (0) or refused (-EPERM) */

struct purse *purse_new(const struct config_account *a, struct queue *q, uint64_t now_ns,
                        purse_changed_cb *changed, void *ctx);
void purse_free(struct purse *p); /* its queue must be closed */
void purse_configure(struct purse *p, const struct config_account *a, uint64_t now_ns);

/* How many of the missing units to request now; 0: too few to be worth a request, and *when_ns is
 * lowered to the time when there will be enough. Used by the daemon and by `plan`. */
uint64_t purse_portion(struct budget *b, enum lane lane, uint64_t missing, uint64_t now_ns,
                       uint64_t *when_ns);

/* Forgets everything and reads the ledgers from Redis; calls `changed` when every ledger has been
 * read. */
void purse_restore(struct purse *p);
bool purse_ready(const struct purse *p);

/* Requests units until `want` units are granted or requested, within the limit of the lane. It does
 * not request less than the lane's share of a second; it then lowers *when_ns to the time of the
 * next call. */
void purse_ask(struct purse *p, enum ledger l, enum lane lane, uint64_t want, uint64_t now_ns,
               uint64_t *when_ns);
/* The units that may be spent immediately. */
const struct grant *purse_grant(const struct purse *p);
void purse_spend(struct purse *p, enum ledger l, uint64_t cost);
void purse_unspend(struct purse *p, enum ledger l, uint64_t cost); /* never sent */
void purse_book(struct purse *p, enum ledger l, uint64_t cost, uint64_t now_ns);
/* For a request without a reply, which may still arrive: its units stay open until it must have
 * arrived. */
void purse_book_late(struct purse *p, enum ledger l, uint64_t cost, uint64_t now_ns);
void purse_drain(struct purse *p, enum ledger l,
                 uint64_t now_ns); /* after a 429: another client uses the budget */
/* Writes bookings to Redis that have waited for the length of a bin. Returns when to call it
 * again. */
uint64_t purse_flush(struct purse *p, uint64_t now_ns);

/* The account's time to be stored in Redis, once it has been restored. */
struct queue_clock purse_clock(const struct purse *p, struct now now);

uint64_t purse_left(struct purse *p, enum ledger l, uint64_t now_ns);
uint64_t purse_spent_total(const struct purse *p, enum ledger l); /* since the process began */
