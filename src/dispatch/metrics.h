/* SPDX-License-Identifier: MIT
 * The facts of fact.c in the text format of Prometheus, version 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#pragma once

#include "buf.h"
#include "clock.h"
#include "dispatch.h"
#include "overview.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A buffer with this ceiling holds both texts below for so many accounts. */
#define METRICS_MAX_BYTES(accounts) ((size_t)(accounts)*128 * 1024 + 32 * 1024)

/* Appends what the dispatches tell. On the loop that they live on. */
void metrics_render(struct dispatch *const *accounts, size_t count, struct now now,
                    struct buf *out);

/* What was read of an account in Redis. */
struct metrics_backlog {
    const char *account;
    const struct overview *overview; /* NULL: could not be read, then it has no samples */
};

/* Appends what Redis tells, and whether it does. Any thread. The names differ from those of
 * metrics_render: the texts may stand in one answer, in any order. */
/* Without the lines of accounts that may not be seen. */
typedef bool metrics_may_cb(void *ctx, struct span account);
void metrics_filter(struct span text, metrics_may_cb *may, void *ctx, struct buf *out);
void metrics_render_backlog(const struct metrics_backlog *accounts, size_t count, bool redis_up,
                            struct buf *out);
