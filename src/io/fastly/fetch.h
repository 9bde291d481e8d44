/* SPDX-License-Identifier: MIT
 * A blocking GET request to the API, for the commands and for threads of the HTTP endpoint. */
#pragma once

#include "buf.h"
#include "config.h"

struct fetch_secrets {
    const char *token;
    const char *proxy_auth; /* "user:password" for the account's api_proxy; "" = none */
};

/* Requests the path below the account's API, with the token as Fastly-Key (NULL: without a token).
 * 0 with *status and the body, or -EIO if there is no answer, with a sentence that never contains
 * the token. Does not follow redirects. */
must_use int fetch(const struct config_account *a, const struct fetch_secrets *s, const char *path,
                   struct buf *body, int *status, struct error *err);
