/* SPDX-License-Identifier: MIT
 * The heart: one account's way from the streams to Fastly and back. dispatch_tick does everything
 * that is due and says when it wants to be called next; between ticks, answers of Redis and Fastly
 * only leave their mark and ask for a tick.
 *
 *   intake ─▶ window ─▶ lanes ─▶ purse (may we?) ─▶ flight ─▶ senders ─▶ Fastly
 *                         ▲                                                │
 *                         └── parked, put back ◀── verdict ◀───────────────┘
 *                                                     └─▶ settle ─▶ Redis
 */
#pragma once

#include "clock.h"
#include "config.h"
#include "memory.h"
#include "queue.h"
#include "sender.h"

struct dispatch;

struct dispatch_options {
    const struct config_account *account;
    const struct config *config; /* that has the account: held while it is used; NULL: the
                                    account is lent until dispatch_free */
    const char *waits; /* settings whose new values wait for a restart, for the report; lent until
                          dispatch_free; NULL: none */
    const char *http;  /* why the wanted HTTP endpoint is not there, likewise; NULL or "": it is */
    uint32_t window;   /* pending targets held in memory */
    struct memory *memory;  /* shared by all accounts; lent until dispatch_free */
    uint64_t job_max_bytes; /* config_job_max_bytes */
    const char *owner;      /* this incarnation, as process_identity gives it */
    struct loop *loop;
    const struct redis_address *redis;
    struct senders *senders;
    struct endpoint *endpoint; /* held */
    uint64_t seed;             /* of the jitter */
    loop_cb *wake;             /* a tick is wanted soon */
    void *ctx;
};

struct dispatch *dispatch_new(const struct dispatch_options *o, struct now now);
void dispatch_free(struct dispatch *d); /* only when dispatch_stopped */

const char *dispatch_account(const struct dispatch *d); /* its name */

/* Returns the monotonic time of the next tick. */
uint64_t dispatch_tick(struct dispatch *d, struct now now);

/* The senders' callback: an answer to an exchange of whichever account; takes x. ctx is unused. */
void dispatch_on_reply(void *ctx, struct exchange *x);

/* New settings and token (reload): they hold from the next request on. When the services or the way
 * to count changed, what is on the wire is awaited first and everything waiting read anew. Account
 * and configuration are as in dispatch_options. */
void dispatch_configure(struct dispatch *d, const struct config *c, const struct config_account *a,
                        struct endpoint *e, struct now now);

/* Liveness is progress. True when for a minute nothing happened that should have: requests could be
 * sent and none began, an answer of Fastly or of Redis is long overdue; then `why` is a sentence
 * about it. Waiting that has a reason (budget, brake, pause, retry, standby, Redis away) is none.
 */
bool dispatch_stalled(const struct dispatch *d, struct now now, char *why, size_t room);

/* True while Redis is connected but refuses what dispatch needs, a key of the account is broken, or
 * Redis evicts or is full; then `why` is a sentence with what to do. Nothing is lost, but an
 * instance with such trouble is not ready. */
bool dispatch_troubled(const struct dispatch *d, struct now now, char *why, size_t room);

/* Finish what is on the wire, release the lease, close the queue; then dispatch_stopped. */
void dispatch_stop(struct dispatch *d);
bool dispatch_stopped(const struct dispatch *d);
