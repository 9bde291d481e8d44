/* SPDX-License-Identifier: MIT
 * Lets HTTP clients wait for the end of a job. A message of the dispatcher notifies them, without
 * polling. */
#pragma once

#include "config.h"
#include "intray.h"
#include "span.h"

struct waiters;
struct waiter;

/* `receipt` is the JSON that the dispatcher wrote; it is empty if the job is gone and no receipt is
 * kept. Called at most once; the waiter is gone then. */
typedef void waiter_cb(void *ctx, struct span receipt);

/* Receipts are looked up over the intray's connection. Messages have a connection of their own,
 * which is made when the first client waits. */
struct waiters *waiters_new(struct loop *l, const struct redis_address *a, const struct config *c,
                            struct intray *t);
/* Calls all callbacks with an empty receipt, because no notifications will come. */
void waiters_give_up(struct waiters *w);
/* No client may be waiting any more. */
void waiters_close(struct waiters *w, loop_cb *closed, void *ctx);

enum waiter_kind {
    WAITER_PLAIN,
    WAITER_DELAYED, /* the job has a not_before: it leaves its lane and returns under another entry
                       id, so not finding it means nothing */
};

/* `job` is an id of the account like "normal-1700000000000-0". */
struct waiter *waiters_add(struct waiters *w, const struct config_account *a, const char *job,
                           enum waiter_kind kind, waiter_cb *cb, void *ctx);
void waiters_remove(struct waiter *w); /* only before its callback */
