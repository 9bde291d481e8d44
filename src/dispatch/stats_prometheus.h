/* SPDX-License-Identifier: MIT
 * The statistics of stats.c in the text format of Prometheus, version 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#pragma once

#include "buf.h"
#include "clock.h"
#include "dispatch.h"
#include "overview.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Buffer size that is enough for both texts below with this many accounts. */
#define METRICS_MAX_BYTES(accounts) ((size_t)(accounts)*128 * 1024 + 32 * 1024)
/* Most texts are not longer: names are short, and most counters are 0. */
#define METRICS_LIKELY_BYTES(accounts) ((size_t)(accounts)*32 * 1024 + 32 * 1024)

/* Appends the metrics of the dispatchers. To be called on their loop. */
void metrics_render(struct dispatch *const *accounts, size_t count, struct now now,
                    struct buf *out);

/* The state of an account as read from Redis. */
struct metrics_backlog {
    const char *account;
    const struct overview
        *overview; /* NULL: it could not be read, and the account gets no samples */
    const struct consumer_states *consumers; /* NULL: none */
};
/* Of each account; further ones get no samples. */
#define METRICS_CONSUMERS_MAX 64

/* Appends the metrics of consumers. */
void metrics_render_consumers(const struct metrics_backlog *accounts, size_t count,
                              struct buf *out);
/* Appends the metrics read from Redis, and whether Redis is up. Any thread. No metric is also in
 * metrics_render, so the two texts may be joined in any order. */
/* Removes the lines of accounts that the client may not see. */
typedef bool metrics_may_cb(void *ctx, struct span account);
void metrics_filter(struct span text, metrics_may_cb *may, void *ctx, struct buf *out);
void metrics_render_backlog(const struct metrics_backlog *accounts, size_t count, bool redis_up,
                            struct buf *out);
