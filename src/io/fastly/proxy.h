/* SPDX-License-Identifier: MIT
 * The egress proxy of an account, for the io files that use libcurl: every connection through it is
 * a CONNECT tunnel, so the proxy sees only the host and port of the API. */
#pragma once

#include "error.h"

struct curl_slist;

struct proxy {
    char *url;     /* "" = none, "env" = from the environment, else http://host:port or https:// */
    char *ca_file; /* for an https proxy; "" = the system's */
    struct curl_slist *headers; /* headers sent only to the proxy; NULL: none */
};

/* `auth` is "user:password", or "" for none. */
void proxy_init(struct proxy *p, const char *url, const char *ca_file, const char *auth);
void proxy_deinit(struct proxy *p); /* wipes the credentials */
bool proxy_is_used(const struct proxy *p);
bool proxy_same(const struct proxy *a, const struct proxy *b);

/* Makes an easy handle use the proxy. NULL: no proxy, even if the environment sets one. */
void proxy_apply(void *easy, const struct proxy *p);

/* Explains why there was no connection: the proxy's answer, or that the proxy cannot be reached, or
 * else curl's message. Only for a transfer through this proxy that failed before its request was
 * sent. */
void proxy_explain(void *easy, const struct proxy *p, const char *curl_words, struct error *out);
