/* SPDX-License-Identifier: MIT
 * Fetches a page as its visitors do, with Fastly-Debug, without blocking the loop. */
#pragma once

#include "buf.h"
#include "loop.h"

struct page {
    struct buf head;             /* the status line and the headers; empty if there is no reply */
    char why[160];               /* there is no reply; "" if there is one */
    uint64_t began_ns, ended_ns; /* just before the request, and after the reply */
};

typedef void page_cb(void *ctx, const struct page *p);

/* Redirects are not followed, and certificates are verified. `cb` is called exactly once, on the
 * loop's thread, never before this function has returned. Until then a thread of libuv's pool is
 * busy, so a caller has one request at a time. */
void page_fetch(struct loop *l, const char *url, uint32_t timeout_ms, page_cb *cb, void *ctx);
