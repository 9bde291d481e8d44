/* SPDX-License-Identifier: MIT
 * Collects ended jobs and writes their outcomes to Redis in groups: deletes entries, and adds
 * receipts and dead letters. A group is kept and written again until Redis has confirmed it. */
#pragma once

#include "queue.h"
#include "window.h"

struct settle;

struct settle_counts {
    uint64_t writes, jobs; /* confirmed by Redis; jobs also those that went to `later` */
    uint64_t failed;       /* writes that were not: tried again */
};

/* A group of outcomes was confirmed or has failed. later: jobs were postponed. */
typedef void settle_changed_cb(void *ctx, bool later);

struct settle *settle_new(const struct config_account *a, struct queue *q,
                          settle_changed_cb *changed, void *ctx);
void settle_free(
    struct settle *s); /* its queue must be closed; what is not confirmed is forgotten */
void settle_configure(struct settle *s, const struct config_account *a);

/* Adds an ended job. The strings are copied. */
void settle_add(struct settle *s, const struct queue_settle *item);
/* Writes the collected outcomes, or keeps them while Redis is away. */
void settle_flush(struct settle *s, bool queue_up, uint64_t now_ns);
/* An urgent job came: for a second, writes are smaller, so that Redis has time for others. */
void settle_make_way(struct settle *s, uint64_t now_ns);
/* Ended jobs that Redis has not confirmed, per lane: in Redis they still count as waiting. */
uint64_t settle_unconfirmed(const struct settle *s, enum lane lane);
uint64_t settle_bytes(const struct settle *s); /* memory that they take */
const struct settle_counts *settle_counts(const struct settle *s);
bool settle_idle(const struct settle *s);
/* When settle_flush should be called again, NEVER if nothing is left to write. */
uint64_t settle_due(const struct settle *s);

typedef void settle_id_cb(void *ctx, enum lane lane, struct entry_id id);
void settle_each_unconfirmed(const struct settle *s, settle_id_cb *cb, void *ctx);
