/* SPDX-License-Identifier: MIT
 * The internals of an endpoint, for the files of the sender: the header lines shared by all its
 * requests, built once. */
#pragma once

#include "proxy.h"
#include "sender.h"

struct curl_slist;

/* What the lines say about the body of a request. ENDPOINT_PLAIN says nothing: the request is a GET
 * or a PURGE, or its exchange brings a Content-Type of its own. */
enum endpoint_body { ENDPOINT_PLAIN, ENDPOINT_EMPTY, ENDPOINT_JSON, ENDPOINT_BODY_N };
enum endpoint_soft { ENDPOINT_HARD, ENDPOINT_SOFT, ENDPOINT_SOFT_N };
enum endpoint_token { ENDPOINT_WITHOUT_TOKEN, ENDPOINT_WITH_TOKEN, ENDPOINT_TOKEN_N };

struct endpoint {
    uint64_t number; /* unique within the process; an address could be reused */
    uint64_t holds;  /* atomic */
    char *api;       /* base URL; "" = none */
    char *ca_file;   /* "" = the system's CA file */
    char *fault;     /* "" = none */
    struct proxy proxy;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    /* There are two sets of lists, with and without the token. The lists of a set share their
     * tails:
     *
     *   soft ─┐
     *         ├─▶ Content-Type: application/json ───┐
     *   hard ─┘                                     │
     *   soft ─┐                                     ├─▶ Accept ─▶ agent (─▶ token)
     *         ├─▶ Content-Length: 0 ────────────────┤
     *   hard ─┘                                     │
     *   soft ─┬─────────────────────────────────────┘
     *   hard ─┘  */
    struct curl_slist *headers[ENDPOINT_TOKEN_N][ENDPOINT_BODY_N][ENDPOINT_SOFT_N];
    struct curl_slist *page;  /* for a page: Fastly-Debug ─▶ Accept-Encoding (─▶ agent) */
    struct curl_slist *lines; /* all nodes of the lists, in one array */
    size_t lines_count;
};

/* Replaces the token by asterisks where a reply repeats it: replies with errors are shown and
 * logged. */
void endpoint_hide_token(const struct endpoint *e, struct buf *reply);
