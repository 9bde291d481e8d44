/* SPDX-License-Identifier: MIT
 * Requests that clients keep sending while Redis hangs: probes, streams of small jobs, and large
 * jobs. Without a limit, each kind once used hundreds of megabytes. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "http.h"
#include "rawhttp.h"
#include "redis_server.h"

#define FLOOD_READERS 20000 /* probes at the same time */
#define FLOOD_AT_ONCE 500
#define FLOOD_STREAMS 60 /* number of streams, with this many jobs each */
#define FLOOD_LINES 4000
#define FLOOD_JOBS 24 /* number of single jobs, of this size each */
#define FLOOD_JOB_BYTES 8000000

/* Sends requests and closes the connections with a reset, which leaves no port in TIME_WAIT. */
static inline void flood_readers(unsigned port)
{
    struct rawhttp r[FLOOD_AT_ONCE];

    for (size_t i = 0; i < FLOOD_READERS + FLOOD_AT_ONCE; i++) {
        struct rawhttp *one = &r[i % FLOOD_AT_ONCE];

        if (i >= FLOOD_AT_ONCE)
            rawhttp_reset(one);
        if (i >= FLOOD_READERS)
            continue;
        rawhttp_open(one, port);
        rawhttp_say(one, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    }
}

static inline char *flood_stream(int n)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    for (int i = 0; i < FLOOD_LINES; i++)
        buf_printf(&text, "{\"lane\":\"bulk\",\"keys\":[\"stream-%d-%d-%0200d\"]}\n", n, i % 50, 0);
    return buf_take(&text);
}

static inline char *flood_job(int n)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "{\"keys\":[\"job-%d\"", n);
    while (text.n < FLOOD_JOB_BYTES - 1100)
        buf_printf(&text, ",\"job-%d-%zu-%01000d\"", n, text.n, 0);
    buf_printf(&text, "]}");
    return buf_take(&text);
}

static inline void flood_begin_streams(struct http *h)
{
    for (int i = 0; i < FLOOD_STREAMS; i++) {
        char *body = flood_stream(i);

        (void)http_begin(h, "POST", "/v1/purge/bulk", body, NULL);
        free(body);
    }
}

static inline void flood_begin_jobs(struct http *h)
{
    for (int i = 0; i < FLOOD_JOBS; i++) {
        char *body = flood_job(i);

        (void)http_begin(h, "POST", "/v1/purge", body, NULL);
        free(body);
    }
}

/* The number of accepted jobs: for a stream from the last line of the answer, otherwise 1. */
static inline size_t flood_accepted(const struct http_reply *r)
{
    const char *sums =
        r->status == 200 && r->body ? memmem(r->body, r->body_bytes, "{\"accepted\":", 12) : NULL;

    if (r->status == 202)
        return 1;
    return sums ? (size_t)atol(sums + 12) : 0;
}
