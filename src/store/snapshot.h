/* SPDX-License-Identifier: MIT
 * The state of an account, asked on a loop in one question that is cheap enough for once a second.
 * It is what overview_read reads, except that what was spent of the budget is taken from the
 * leader's report: adding up the bookings of an hour takes Redis many times as long. */
#pragma once

#include "overview.h"
#include "redis.h"

struct snapshot {
    struct overview overview;
    uint64_t now_ms; /* Redis' time */
    /* Of the newest dead letter; id.p == NULL: there is none, or it may be large. Lent. */
    struct span dead_id, dead_reason, dead_job, dead_target;
    uint64_t dead_at_ms;
};

/* NULL: Redis is away, or refuses to answer. Lent for the call, which may change it. */
typedef void snapshot_cb(void *ctx, struct snapshot *g);

/* The account is lent for the call. The callback is called exactly once, and never before this
 * function has returned. */
void snapshot_ask(struct redis *r, const struct config_account *a, snapshot_cb *cb, void *ctx);
