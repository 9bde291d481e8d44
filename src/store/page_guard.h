/* SPDX-License-Identifier: MIT
 * Ends the reading of a stream page by page if the server is no Redis and sends full pages for
 * ever: ids must grow, and there cannot be many more entries than the stream had at the start. */
#pragma once

#include "client.h"

struct page_guard {
    uint64_t left; /* entries that may still come */
    uint64_t ms, seq;
    bool begun;
};

/* Asks for the stream's length. 0, or what client_ask returns. */
must_use int page_guard_begin(struct page_guard *g, struct client *c, const char *key);
/* Checks the ids of a reply to XRANGE. 0, or -EIO with a sentence in client_error. */
must_use int page_guard_check(struct page_guard *g, struct client *c,
                              const struct redisReply *entries);
