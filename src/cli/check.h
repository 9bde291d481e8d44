/* SPDX-License-Identifier: MIT
 * Whether everything purgeline stands on is fit for it: Redis, token, services, TLS, secrets. */
#pragma once

#include "config.h"

enum check_grade { CHECK_OK, CHECK_WARN, CHECK_FAIL };
extern const char *const check_grade_names[]; /* "ok", "warn", "fail" */

struct check_finding {
    enum check_grade grade;
    const char *account; /* NULL: not about one */
    const char *subject; /* "redis", "token" ... */
    const char *what;    /* a sentence */
    const char *remedy;  /* what to do; "" when nothing */
};

/* All lent for the call. */
typedef void check_cb(void *ctx, const struct check_finding *f);

void check_exposure(const struct config *c, check_cb *cb, void *ctx); /* files others may read */
void check_environment(check_cb *cb, void *ctx); /* variables that no setting has */
void check_http(const struct config *c, check_cb *cb, void *ctx); /* and hooks; asks nobody */
/* The server, then the keys of each account (or of the one named) and what our user may do. False
 * when there should be a server and it cannot be reached. */
bool check_redis(const struct config *c, const char *account, check_cb *cb, void *ctx);
void check_account(const struct config_account *a, uint64_t now_ms, check_cb *cb, void *ctx);
