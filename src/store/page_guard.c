/* SPDX-License-Identifier: MIT */
#include "page_guard.h"

#include <string.h>

/* Entries that producers may add while the stream is read: as many as it had, and these. Reading is
 * much faster than adding. */
#define ADDED_MAX UINT64_C(100000)

int page_guard_begin(struct page_guard *g, struct client *c, const char *key)
{
    struct redisReply *r;
    int rc = client_ask_words(c, (const char *const[]){"XLEN", key, NULL}, &r);

    if (rc == 0)
        *g = (struct page_guard){.left = 2 * min_u64(reply_u64(r), UINT64_MAX / 4) + ADDED_MAX};
    return rc;
}

static bool parse_id(struct span id, uint64_t *ms, uint64_t *seq)
{
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    size_t before = dash ? (size_t)(dash - id.p) : 0;

    return dash && span_to_plain_u64(span_of(id.p, before), ms) == 0 &&
           span_to_plain_u64(span_of(dash + 1, id.n - before - 1), seq) == 0;
}

static bool grows(struct page_guard *g, struct span id)
{
    uint64_t ms, seq;

    if (!parse_id(id, &ms, &seq))
        return false;
    if (g->begun && (ms < g->ms || (ms == g->ms && seq <= g->seq)))
        return false;
    *g = (struct page_guard){.left = g->left, .ms = ms, .seq = seq, .begun = true};
    return true;
}

int page_guard_check(struct page_guard *g, struct client *c, const struct redisReply *entries)
{
    size_t n = reply_count(entries);

    if (n > g->left)
        return client_distrust(c);
    g->left -= n;
    for (size_t i = 0; i < n; i++)
        if (!grows(g, reply_text(reply_at(reply_at(entries, i), 0))))
            return client_distrust(c);
    return 0;
}
