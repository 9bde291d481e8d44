/* SPDX-License-Identifier: MIT
 * The state of each account, as last read from Redis by the HTTP endpoint. */
#pragma once

#include "overview.h"
#include "redis.h"

struct standing;

struct standing_account {
    bool known;               /* read at least once */
    struct overview overview; /* no texts but `leader`, which is "" when there is one */
    /* of the leader's own report */
    double targets_per_job; /* that need a purge of their own: merging is taken into account */
    uint64_t budget_left;
    bool writes_known; /* the next was in the report */
    uint64_t writes_left;
    bool lost[LANE_N]; /* see intake_lane_is_lost */
    bool refused;      /* Fastly refuses the token */
    bool stuck;        /* Redis refuses what the leader needs, or a key is broken */
    bool held;         /* nothing is sent: throttled, an outage, or the token is refused */
};

struct standing *standing_new(const struct config *c, struct redis *r);
void standing_free(struct standing *s); /* its Redis must be closed */

/* The known state, without waiting; starts a refresh when it is older than 50 ms. */
const struct standing_account *standing_of(struct standing *s, const struct config_account *a,
                                           uint64_t now_ns);
/* The same, and asks nothing: after a refresh. */
const struct standing_account *standing_last_of(struct standing *s, const struct config_account *a);
/* Calls `done` once, perhaps before this returned, when all accounts are known as they were at most
 * a second ago; with false when Redis did not answer. However many ask, Redis is asked once a
 * second.
 */
typedef void standing_cb(void *ctx, bool ok);
void standing_refresh(struct standing *s, standing_cb *done, void *ctx);

/* In how many milliseconds a job of that cost in that lane will probably be purged; UINT64_MAX when
 * nobody can say (nobody dispatches, it is paused, or Fastly takes nothing). An estimate: what
 * waits before it, at the pace of the budget. */
uint64_t standing_eta_ms(const struct standing_account *s, const struct config_account *a,
                         enum lane lane, uint64_t cost);
