/* SPDX-License-Identifier: MIT */
#include "page_guard.h"

#include "queue_internal.h"

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

static bool grows(struct page_guard *g, struct span text)
{
    struct entry_id id;

    if (queue_parse_id(text, &id) < 0)
        return false;
    if (g->begun && (id.ms < g->ms || (id.ms == g->ms && id.seq <= g->seq)))
        return false;
    *g = (struct page_guard){.left = g->left, .ms = id.ms, .seq = id.seq, .begun = true};
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
