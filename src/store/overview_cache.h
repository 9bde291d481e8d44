/* SPDX-License-Identifier: MIT
 * The state of each account, as last read from Redis by the HTTP endpoint. */
#pragma once

#include "overview.h"
#include "redis.h"

struct overview_cache;

struct overview_cache_account {
    bool known;      /* read at least once */
    bool unreadable; /* Redis refuses to read it now: see struct overview */
    /* Without texts, except `leader`, "" if there is one, and `consumers`, `reads` and `history`,
     * as they were at the last overview_cache_refresh. */
    struct overview overview;
    /* from the leader's report */
    double targets_per_job; /* that need their own purge, after merging */
    uint64_t budget_left;
    double at_once[LANE_N]; /* units that the lane may spend now */
    double pace_per_ms;     /* units that may be spent after that; 0: not in the report */
    bool writes_known;      /* the report had writes_left */
    uint64_t writes_left;
    bool lost[LANE_N];      /* see intake_lane_is_lost */
    bool refused;           /* Fastly refuses the token */
    bool stuck;             /* Redis refuses what the leader needs, or a key is broken */
    bool origins;           /* jobs wait for their origins */
    bool held;              /* nothing is sent: throttled, an outage, or the token is refused */
    uint64_t held_until_ms; /* Unix, while it is held; 0: not known */
    char held_why[24];      /* one of brake_cause_names */
};

/* The connection of an account. */
typedef struct redis *overview_cache_redis_cb(void *ctx, const char *account);
struct overview_cache *overview_cache_new(const struct config *c, overview_cache_redis_cb *redis_of,
                                          void *ctx);
void overview_cache_free(struct overview_cache *s); /* its connections must be closed */

/* The known state, without waiting. Starts a refresh if the state is older than 50 ms. */
const struct overview_cache_account *
overview_cache_of(struct overview_cache *s, const struct config_account *a, uint64_t now_ns);
/* The known state, without a refresh: for use after overview_cache_refresh. */
const struct overview_cache_account *overview_cache_last_of(struct overview_cache *s,
                                                            const struct config_account *a);
/* Calls `done` once, perhaps before overview_cache_refresh returns, when the state of all accounts
 * is known and at most a second old; with false if Redis did not answer. Redis is asked at most
 * once a second, however many callers there are. */
typedef void overview_cache_cb(void *ctx, bool ok);
void overview_cache_refresh(struct overview_cache *s, overview_cache_cb *done, void *ctx);

/* Estimates in how many milliseconds a job of this cost in this lane will be purged: what waits
 * before it, at the pace of the budget. UINT64_MAX if there is no estimate (no instance leads,
 * dispatch is paused, or Fastly takes nothing). */
uint64_t overview_cache_eta_ms(const struct overview_cache_account *s,
                               const struct config_account *a, enum lane lane, uint64_t cost);
/* The state that an overview has which overview_read has read; lent, as long as that. */
struct overview_cache_account overview_cache_from(const struct overview *o);
/* The same for all jobs that wait in the lanes of an overview that overview_read has read: until
 * the last of them is purged. */
uint64_t overview_cache_backlog_ms(const struct overview *o, const struct config_account *a);
