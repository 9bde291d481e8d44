/* SPDX-License-Identifier: MIT
 * A blocking GET request to the API, for the commands and for threads of the HTTP endpoint. */
#pragma once

#include "buf.h"
#include "config.h"

struct fetch_secrets {
    const char *token;
    const char *proxy_auth; /* "user:password" for the account's api_proxy; "" = none */
};

/* The path below the account's API, with the token as Fastly-Key (NULL: without one). 0 with
 * *status and the body, or -EIO: no answer, with a sentence that never holds the token. Never
 * follows a redirect. */
must_use int fetch(const struct config_account *a, const struct fetch_secrets *s, const char *path,
                   struct buf *body, int *status, char *err, size_t err_room);
