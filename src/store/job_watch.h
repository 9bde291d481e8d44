/* SPDX-License-Identifier: MIT
 * Lets HTTP clients wait for the end of a job. A message of the dispatcher notifies them, without
 * polling. */
#pragma once

#include "config.h"
#include "span.h"
#include "submit.h"

struct job_watch;
struct job_watcher;

/* `receipt` is the JSON that the dispatcher wrote; it is empty if the job is gone and no receipt is
 * kept. Called at most once; the waiter is gone then. */
typedef void waiter_cb(void *ctx, struct span receipt);

/* Receipts are looked up over the connection of struct submit. Messages have a connection of their
 * own, which is made when the first client waits. */
struct job_watch *job_watch_new(struct loop *l, const struct redis_address *a,
                                const struct config *c, struct submit *t);
/* Calls all callbacks with an empty receipt, because no notifications will come. */
void job_watch_give_up(struct job_watch *w);
/* No client may be waiting any more. */
void job_watch_close(struct job_watch *w, loop_cb *closed, void *ctx);

enum waiter_kind {
    WAITER_PLAIN,
    WAITER_DELAYED, /* the job has a not_before: it leaves its lane and returns under another entry
                       id, so not finding it means nothing */
};

/* `job` is an id of the account like "normal-1700000000000-0". */
struct job_watcher *job_watch_add(struct job_watch *w, const struct config_account *a,
                                  const char *job, enum waiter_kind kind, waiter_cb *cb, void *ctx);
void job_watch_remove(struct job_watcher *w); /* only before its callback */
