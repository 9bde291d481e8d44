/* SPDX-License-Identifier: MIT
 * The dispatcher of one account, from the streams in Redis to Fastly and back. dispatch_tick does
 * everything that is due and returns when it must be called next; between ticks, replies of Redis
 * and Fastly are only recorded, and a tick is requested.
 *
 *   intake ─▶ window ─▶ lanes ─▶ ledger (may we?) ─▶ send ─▶ senders ─▶ Fastly
 *                         ▲                                              │
 *                         └── parked, put back ◀── verdict ◀─────────────┘
 *                                                     └─▶ settle ─▶ Redis */
#pragma once

#include "clock.h"
#include "config.h"
#include "instances.h"
#include "memory.h"
#include "queue.h"
#include "sender.h"

struct dispatch;

struct dispatch_options {
    const struct config_account *account;
    const struct config *config; /* the configuration that contains the account, referenced while in
                                    use; NULL: the account must stay valid until dispatch_free */
    const char *waits; /* names of settings whose new values need a restart, for the report; valid
                          until dispatch_free; NULL: none */
    const char *http;  /* why the configured HTTP endpoint is not listening, for the report; NULL or
                          "": it is */
    uint32_t window;   /* pending targets held in memory */
    struct memory *memory;       /* shared by all accounts; lent until dispatch_free */
    uint64_t job_max_bytes;      /* config_job_max_bytes */
    const char *owner;           /* identity of this process, from process_identity */
    struct instances *instances; /* shared by all accounts; lent until dispatch_free; NULL: other
                                    instances are ignored */
    uint32_t number;             /* of the account, for `instances` */
    struct loop *loop;
    const struct redis_address *redis;
    struct connections
        *connections; /* to it, shared by all accounts; NULL: the account has its own */
    struct senders *senders;
    struct endpoint *endpoint; /* held */
    uint64_t seed;             /* of the jitter */
    loop_cb *wake;             /* a tick is wanted soon */
    void *ctx;
};

struct dispatch *dispatch_new(const struct dispatch_options *o, struct now now);
void dispatch_free(struct dispatch *d); /* only when dispatch_stopped */

const char *dispatch_account(const struct dispatch *d); /* its name */
bool dispatch_connected(const struct dispatch *d);      /* to Redis, which accepts commands */

/* Returns the monotonic time of the next tick. */
uint64_t dispatch_tick(struct dispatch *d, struct now now);

/* Whether the account may read more jobs when other accounts give memory back: then it must be
 * ticked. */
bool dispatch_awaits_memory(const struct dispatch *d);

/* The callback for the senders: handles the reply to an exchange of any account; takes x. ctx is
 * unused. */
void dispatch_on_reply(void *ctx, struct exchange *x);

/* Applies new settings and a new token (reload) from the next request on. If the services or the
 * way of counting have changed, requests in flight are finished first and all waiting jobs are read
 * again. Account and configuration are as in dispatch_options. */
void dispatch_configure(struct dispatch *d, const struct config *c, const struct config_account *a,
                        struct endpoint *e, struct now now);

/* True when dispatch has stalled for a minute: requests could be sent but none was begun, or a
 * reply of Fastly or Redis is long overdue. `why` then explains it. Waiting with a reason (budget,
 * brake, pause, retry, standby, Redis away) is not a stall. */
bool dispatch_stalled(const struct dispatch *d, struct now now, char *why, size_t room);

/* True while Redis is connected but refuses commands that dispatch needs, a key of the account is
 * broken, Redis evicts keys or is full, or the endpoint has a fault; `why` then says what to do.
 * Nothing is lost, but such an instance is not ready. */
bool dispatch_troubled(const struct dispatch *d, struct now now, char *why, size_t room);

/* Finishes requests in flight, releases the lease and closes the queue; dispatch_stopped is then
 * true. Before that, dispatch goes on until another instance is ready to take the account over
 * (DISPATCH_HANDS_OVER), if there is one, for at most eleven seconds. */
enum dispatch_leaving { DISPATCH_HANDS_OVER, DISPATCH_LEAVES_AT_ONCE };
void dispatch_stop(struct dispatch *d, enum dispatch_leaving how);
bool dispatch_stopped(const struct dispatch *d);
