/* SPDX-License-Identifier: MIT
 * Puts jobs from the HTTP endpoint into Redis over one pipelined connection. A job is accepted only
 * after Redis has confirmed it. */
#pragma once

#include "config.h"
#include "loop.h"
#include "redis.h"
#include "span.h"

struct intray;

enum intray_outcome {
    INTRAY_ACCEPTED, /* Redis has it */
    INTRAY_REPEATED, /* Redis had it already, under the same idempotency key */
    INTRAY_CONFLICT, /* the idempotency key was used for another request */
    INTRAY_REFUSED,  /* Redis refuses writes and does not have it */
    INTRAY_UNKNOWN,  /* the connection broke before the answer, or none came */
};

struct intray_result {
    enum intray_outcome outcome;
    const char *job; /* "normal-1700000000000-0"; NULL unless accepted or repeated */
    const char *why; /* Redis' error */
};

typedef void intray_cb(void *ctx, const struct intray_result *r);

/* `up` is called whenever Redis is connected (again). */
struct intray *intray_new(struct loop *l, const struct redis_address *a, loop_cb *up, void *ctx);
void intray_close(struct intray *t, loop_cb *closed, void *ctx); /* pending callbacks are called */

bool intray_is_up(const struct intray *t);
uint64_t intray_under_way(const struct intray *t); /* jobs without an answer */
/* The connection, for other commands. Redis answers these and the jobs in the order of sending. */
struct redis *intray_redis(struct intray *t);

/* How long jobs with the same idempotency key are the same job, once accepted. */
#define INTRAY_IDEMPOTENCY_S 86400 /* 24 h: README, deploy/openapi.yaml */

struct intray_once {
    struct span key;  /* hexadecimal digest of the producer and its Idempotency-Key */
    struct span same; /* digest of the request; a different one is a conflict */
};

/* The fields must have been checked. `once` may be NULL. The callback is called exactly once, never
 * before this function has returned. */
void intray_put(struct intray *t, const struct config_account *a, enum lane lane,
                const struct span *fields, size_t count, const struct intray_once *once,
                intray_cb *cb, void *ctx);
