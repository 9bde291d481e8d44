/* SPDX-License-Identifier: MIT
 * Puts jobs from the HTTP endpoint into Redis over one pipelined connection, in a Cluster over one
 * for each account. A job is accepted only after Redis has confirmed it, and as many replicas as
 * the address of Redis asks for. */
#pragma once

#include "config.h"
#include "loop.h"
#include "redis.h"
#include "span.h"

struct submit;
struct replicated;

enum submit_outcome {
    SUBMIT_ACCEPTED,     /* Redis has it */
    SUBMIT_REPEATED,     /* Redis had it already, under the same idempotency key */
    SUBMIT_CONFLICT,     /* the idempotency key was used for another request */
    SUBMIT_REFUSED,      /* Redis refuses writes and does not have it */
    SUBMIT_UNKNOWN,      /* the connection broke before the answer, or none came */
    SUBMIT_UNREPLICATED, /* Redis has it, but too few replicas do: a failover may lose it */
};

struct submit_result {
    enum submit_outcome outcome;
    const char *job; /* "normal-1700000000000-0"; NULL unless accepted or repeated */
    const char *why; /* Redis' error, or how many replicas have the job */
};

typedef void submit_cb(void *ctx, const struct submit_result *r);

/* `up` is called whenever Redis is connected (again). `tried` is called once: when each connection
 * is up or could not be made at the first attempt. The address is lent until submit_close. */
struct submit *submit_new(struct loop *l, const struct redis_address *a, loop_cb *up,
                          loop_cb *tried, void *ctx);
void submit_close(struct submit *t, loop_cb *closed, void *ctx); /* pending callbacks are called */

/* To be called before anything is put for the account. */
void submit_serve(struct submit *t, const char *account);

/* Whether jobs of the account can be put; NULL: whether Redis can be reached. */
bool submit_is_up(const struct submit *t, const char *account);
/* Redis' words if it refused the last job less than 5 s ago, because it can take none of any
 * account (its memory or disk is full, it has become a replica, too few replicas confirm);
 * otherwise NULL. After that time somebody has to try again, or nobody would ever learn that it is
 * over. */
const char *submit_refusal(const struct submit *t);
uint64_t submit_pending(const struct submit *t); /* jobs without an answer */
/* The connection of the account, for questions about it, and for other commands that somebody is
 * told "done" for. */
struct redis *submit_redis(struct submit *t, const char *account);
struct replicated *submit_replicated(struct submit *t, const char *account);

/* How long jobs with the same idempotency key are the same job, once accepted. */
#define SUBMIT_IDEMPOTENCY_S 86400 /* 24 h: README, deploy/openapi.yaml */

struct submit_once {
    struct span key;  /* hexadecimal digest of the producer and its Idempotency-Key */
    struct span same; /* digest of the request; a different one is a conflict */
};

/* The fields must have been checked. `once` may be NULL. The callback is called exactly once, never
 * before this function has returned. */
void submit_put(struct submit *t, const struct config_account *a, enum lane lane,
                const struct span *fields, size_t count, const struct submit_once *once,
                submit_cb *cb, void *ctx);
