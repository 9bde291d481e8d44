/* SPDX-License-Identifier: MIT
 * Jobs on their way from the endpoint into Redis, over one pipelined connection: nothing is
 * accepted before Redis has said that it has it. */
#pragma once

#include "config.h"
#include "loop.h"
#include "redis.h"
#include "span.h"

struct intray;

enum intray_outcome {
    INTRAY_ACCEPTED, /* Redis has it */
    INTRAY_REPEATED, /* it had it already, under the same idempotency key */
    INTRAY_CONFLICT, /* the idempotency key was used for something else */
    INTRAY_REFUSED,  /* Redis refuses writes; it has not got it */
    INTRAY_UNKNOWN,  /* the connection broke before an answer, or there was none */
};

struct intray_result {
    enum intray_outcome outcome;
    const char *job; /* "normal-1700000000000-0"; NULL unless accepted or repeated */
    const char *why; /* Redis' words */
};

typedef void intray_cb(void *ctx, const struct intray_result *r);

/* `up` comes whenever Redis is there (again). */
struct intray *intray_new(struct loop *l, const struct redis_address *a, loop_cb *up, void *ctx);
void intray_close(struct intray *t, loop_cb *closed, void *ctx); /* outstanding callbacks come */

bool intray_is_up(const struct intray *t);
uint64_t intray_under_way(const struct intray *t); /* jobs without an answer */
/* The connection, for other questions; its answers are in order with those of jobs. */
struct redis *intray_redis(struct intray *t);

/* Once accepted jobs with the same key are the same job for so long. */
#define INTRAY_IDEMPOTENCY_S 86400 /* 24 h: README, deploy/openapi.yaml */

struct intray_once {
    struct span key;  /* the producer's and its own, digested: hexadecimal */
    struct span same; /* digest of what was asked: another one is a conflict */
};

/* The fields have been checked. `once` may be NULL. The callback comes exactly once, never before
 * this returned. */
void intray_put(struct intray *t, const struct config_account *a, enum lane lane,
                const struct span *fields, size_t count, const struct intray_once *once,
                intray_cb *cb, void *ctx);
