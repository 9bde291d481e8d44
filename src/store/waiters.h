/* SPDX-License-Identifier: MIT
 * HTTP clients that wait for the end of a job: they are notified by a message of the dispatcher,
 * without polling. */
#pragma once

#include "config.h"
#include "intray.h"
#include "span.h"

struct waiters;
struct waiter;

/* `receipt` is the JSON that the dispatcher wrote; empty when the job is gone and no receipt is
 * kept. Comes at most once; the waiter is gone then. */
typedef void waiter_cb(void *ctx, struct span receipt);

/* The questions go through the intray's connection; messages have one of their own, made when
 * somebody waits for the first time. */
struct waiters *waiters_new(struct loop *l, const struct redis_address *a, const struct config *c,
                            struct intray *t);
/* Calls all callbacks with an empty receipt, because no notifications will come. */
void waiters_give_up(struct waiters *w);
/* Nobody waits any more. */
void waiters_close(struct waiters *w, loop_cb *closed, void *ctx);

enum waiter_kind {
    WAITER_PLAIN,
    WAITER_DELAYED, /* the job has a not_before: it leaves its lane and comes back under another
                       entry, so not finding it says nothing */
};

/* `job` as in "normal-1700000000000-0" of the account. */
struct waiter *waiters_add(struct waiters *w, const struct config_account *a, const char *job,
                           enum waiter_kind kind, waiter_cb *cb, void *ctx);
void waiters_remove(struct waiter *w); /* before its callback came */
