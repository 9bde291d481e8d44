/* SPDX-License-Identifier: MIT
 * A blocking GET request to the API, for the commands and for threads of the HTTP endpoint. */
#pragma once

#include "buf.h"
#include "config.h"

struct fetch_secrets {
    const char *token;
    const char *proxy_auth; /* "user:password" for the account's api_proxy; "" = none */
};

struct fetch_answer {
    int status;
    uint64_t wait_ms; /* of a 429: how long it says to wait; 0: it does not say */
};

/* Requests the path below the account's API, with the token as Fastly-Key (NULL: without a token).
 * 0 with *answer and the body, or -EIO if there is no answer, with a sentence that never contains
 * the token. Does not follow redirects. The caller counts it before: store/read_ledger.h. */
must_use int fetch(const struct config_account *a, const struct fetch_secrets *s, const char *path,
                   struct buf *body, struct fetch_answer *answer, struct error *err);
