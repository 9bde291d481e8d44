/* SPDX-License-Identifier: MIT
 * The end of jobs, gathered and written to Redis in loads: acknowledged, deleted, receipted, dead
 * lettered. A load is kept and written again until Redis has confirmed it. */
#pragma once

#include "queue.h"
#include "window.h"

struct settle;

struct settle_counts {
    uint64_t writes, jobs; /* confirmed by Redis; jobs also those that went to `later` */
    uint64_t failed;       /* writes that were not: tried again */
};

/* A load was confirmed, or failed: come and look. later: it put something into `later`. */
typedef void settle_changed_cb(void *ctx, bool later);

struct settle *settle_new(const struct config_account *a, struct queue *q,
                          settle_changed_cb *changed, void *ctx);
void settle_free(
    struct settle *s); /* its queue must be closed; what is not confirmed is forgotten */
void settle_configure(struct settle *s, const struct config_account *a);

/* One more job ended. The strings are copied. */
void settle_add(struct settle *s, const struct queue_settle *item);
/* Sends what was gathered. When Redis is away it stays. */
void settle_flush(struct settle *s, bool queue_up, uint64_t now_ns);
/* Jobs ended and not confirmed yet, per lane: in Redis they still look unfinished. */
uint64_t settle_unconfirmed(const struct settle *s, enum lane lane);
uint64_t settle_bytes(const struct settle *s); /* memory that they take */
const struct settle_counts *settle_counts(const struct settle *s);
bool settle_idle(const struct settle *s);
/* When settle_flush should be called again, NEVER if nothing is left to write. */
uint64_t settle_due(const struct settle *s);

typedef void settle_id_cb(void *ctx, enum lane lane, struct entry_id id);
void settle_each_unconfirmed(const struct settle *s, settle_id_cb *cb, void *ctx);
