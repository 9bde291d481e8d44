/* SPDX-License-Identifier: MIT
 * The egress proxy of an account, for the io files that use libcurl: every connection through it is
 * a CONNECT tunnel, so the proxy sees host and port of the API and nothing else. */
#pragma once

#include "base.h"

struct curl_slist;

struct proxy {
    char *url; /* "" = none, "env" = as the environment says, else http://host:port or https:// */
    char *ca_file;              /* for an https proxy; "" = the system's */
    struct curl_slist *headers; /* what the proxy is told and nobody else; NULL: nothing */
};

/* `auth` is "user:password", or "" for none. */
void proxy_init(struct proxy *p, const char *url, const char *ca_file, const char *auth);
void proxy_deinit(struct proxy *p); /* wipes */
bool proxy_is_used(const struct proxy *p);
bool proxy_same(const struct proxy *a, const struct proxy *b);

/* Sets an easy handle up for it; NULL: for no proxy, whatever the environment says. */
void proxy_apply(void *easy, const struct proxy *p);

/* Why no connection came about, in words: what the proxy said or that it is not there, else
 * curl's. Only for a transfer by this proxy that failed before its request was sent. */
void proxy_explain(void *easy, const struct proxy *p, const char *curl_words, char *out,
                   size_t room);
