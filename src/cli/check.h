/* SPDX-License-Identifier: MIT
 * Checks everything that purgeline depends on: Redis, token, services, TLS, secrets. */
#pragma once

#include "config.h"

enum check_grade { CHECK_OK, CHECK_WARN, CHECK_FAIL };
extern const char *const check_grade_names[]; /* "ok", "warn", "fail" */

struct check_finding {
    enum check_grade grade;
    const char *account; /* NULL: not about an account */
    const char *subject; /* "redis", "token" ... */
    const char *what;    /* a sentence */
    const char *remedy;  /* what to do about it; "" for nothing */
};

/* The finding is valid only during the call. */
typedef void check_cb(void *ctx, const struct check_finding *f);

void check_exposure(const struct config *c, check_cb *cb, void *ctx); /* files others may read */
void check_environment(check_cb *cb, void *ctx);                  /* unknown PURGELINE_ variables */
void check_http(const struct config *c, check_cb *cb, void *ctx); /* and hooks; needs no network */
/* Checks the Redis server, then the keys of each account (or only of the named one), then the
 * permissions of our Redis user. False if an external Redis cannot be reached. */
bool check_redis(const struct config *c, const char *account, check_cb *cb, void *ctx);
struct api_reader;
/* Asks Fastly about the token and the services. */
void check_account(struct api_reader *reader, const struct config_account *a, uint64_t now_ms,
                   check_cb *cb, void *ctx);
void check_reads(const struct config *c, const struct api_reader *reader, check_cb *cb,
                 void *ctx); /* whether what was asked is counted */
