/* SPDX-License-Identifier: MIT
 * The inside of an endpoint, for the sender's own files: the header lines that all its requests
 * share, built once. */
#pragma once

#include "sender.h"

struct curl_slist;

enum endpoint_body { ENDPOINT_NO_BODY, ENDPOINT_JSON, ENDPOINT_BODY_N };
enum endpoint_soft { ENDPOINT_HARD, ENDPOINT_SOFT, ENDPOINT_SOFT_N };

struct endpoint {
    uint64_t number; /* never used twice in a process, unlike an address */
    uint64_t holds;  /* atomic */
    char *ca_file;   /* "" = the system's */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    bool allow_private;
    /* The lists share their tails:
     *
     *   soft ─┐
     *         ├─▶ "Content-Type:" (none) ───────────┐
     *   hard ─┘                                     ├─▶ Accept ─▶ agent ─▶ token
     *         ┌─▶ Content-Type: application/json ───┘
     *   soft ─┘  */
    struct curl_slist *headers[ENDPOINT_BODY_N][ENDPOINT_SOFT_N];
    struct curl_slist *lines; /* every node of them, in one array */
    size_t lines_count;
};
