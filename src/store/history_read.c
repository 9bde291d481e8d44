/* SPDX-License-Identifier: MIT */
#include "history_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "keys.h"

/* A page should have this size; Redis takes less than a millisecond for it. How many entries that
 * is, is estimated from the page before: an entry has the jobs of one write, 1 to 256. */
#define PAGE_BYTES ((size_t)512 * 1024)
#define PAGE_ENTRIES_FIRST 8u
#define PAGE_ENTRIES_MAX 2000u

struct past_entry {
    struct span id, jobs; /* lines */
    uint64_t at_ms;
};

static uint64_t ms_of(struct span id)
{
    struct span word;
    uint64_t ms = 0;

    return span_next_word(&id, '-', &word) && span_to_u64(word, &ms) == 0 ? ms : 0;
}

static struct past_entry past_entry_of(const struct redisReply *r)
{
    const struct redisReply *fields = reply_at(r, 1);
    struct past_entry e = {.id = reply_text(reply_at(r, 0)), .jobs = SPAN("")};

    e.at_ms = ms_of(e.id);
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2) {
        struct span name = reply_text(reply_at(fields, i)),
                    value = reply_text(reply_at(fields, i + 1));

        if (span_is(name, "jobs"))
            e.jobs = value;
        else if (span_is(name, "at") && span_to_u64(value, &e.at_ms) < 0)
            e.at_ms = ms_of(e.id);
    }
    return e;
}

/* Cuts the last line off *text; empty ones are left out. */
static bool last_line(struct span *text, struct span *line)
{
    while (text->n && text->p[text->n - 1] == '\n')
        text->n--;
    if (!text->n)
        return false;
    for (size_t i = text->n; i-- > 0;) {
        if (text->p[i] != '\n')
            continue;
        *line = span_of(text->p + i + 1, text->n - i - 1);
        text->n = i + 1;
        return true;
    }
    *line = *text;
    text->n = 0;
    return true;
}

/* -- cursors: "<id of an entry>.<bytes of its lines that are left>" -- */

static bool parse_cursor(struct span cursor, struct span *id, uint64_t *left)
{
    struct span rest = cursor, word, ms, seq;
    uint64_t ignored;

    if (!span_next_word(&rest, '.', id) || !span_next_word(&rest, '.', &word) || rest.n ||
        span_to_u64(word, left) < 0)
        return false;
    rest = *id;
    return span_next_word(&rest, '-', &ms) && span_next_word(&rest, '-', &seq) && !rest.n &&
           span_to_u64(ms, &ignored) == 0 && span_to_u64(seq, &ignored) == 0;
}

bool history_cursor_ok(struct span cursor)
{
    struct span id;
    uint64_t left;

    return cursor.n < HISTORY_CURSOR_ROOM && parse_cursor(cursor, &id, &left);
}

/* -- backwards -- */

struct looking_back {
    struct client *c;
    struct history_query *q;
    history_job_cb *cb;
    void *ctx;
    char *key, from[64], resumed[64]; /* the entry of the cursor */
    uint64_t left;                    /* of its lines */
    uint64_t entries;                 /* looked at */
    uint32_t page;
    bool over;
};

static bool look_back_from(struct looking_back *g)
{
    struct span id;

    if (g->q->until_ms)
        snprintf(g->from, sizeof(g->from), "%" PRIu64, g->q->until_ms);
    else
        snprintf(g->from, sizeof(g->from), "+");
    if (!*g->q->cursor)
        return true;
    if (!parse_cursor(span_str(g->q->cursor), &id, &g->left))
        return false;
    snprintf(g->from, sizeof(g->from), "%.*s", (int)id.n, id.p);
    snprintf(g->resumed, sizeof(g->resumed), "%s", g->from);
    return true;
}

/* Returns whether to go on. */
static bool hand_out_lines(struct looking_back *g, const struct past_entry *e)
{
    struct span text = e->jobs, line;

    if (*g->resumed && span_is(e->id, g->resumed))
        text.n = (size_t)min_u64(text.n, g->left);
    while (last_line(&text, &line)) {
        struct json_t *j = history_match(g->q->wanted, line, e->at_ms);

        if (!j || !g->cb(g->ctx, j))
            continue;
        snprintf(g->q->cursor, sizeof(g->q->cursor), "%.*s.%zu", (int)min_u64(e->id.n, 50), e->id.p,
                 text.n);
        return false;
    }
    snprintf(g->q->cursor, sizeof(g->q->cursor), "%.*s.0", (int)min_u64(e->id.n, 50), e->id.p);
    return true;
}

static void look_at_page(struct looking_back *g, const struct redisReply *r)
{
    size_t count = reply_count(r), bytes = 0;

    for (size_t i = 0; i < count && !g->over; i++) {
        struct past_entry e = past_entry_of(reply_at(r, i));

        bytes += e.jobs.n + 100;
        if (ms_of(e.id) < g->q->since_ms) {
            *g->q->cursor = '\0';
            g->over = true;
            return;
        }
        g->over =
            !hand_out_lines(g, &e) || (g->q->entries_max && ++g->entries >= g->q->entries_max);
        snprintf(g->from, sizeof(g->from), "(%.*s", (int)min_u64(e.id.n, 50), e.id.p);
    }
    if (!g->over && count < g->page) {
        *g->q->cursor = '\0';
        g->over = true;
    }
    if (count)
        g->page = (uint32_t)min_u64(PAGE_ENTRIES_MAX, 1 + PAGE_BYTES / (bytes / count + 1));
}

int history_read(struct client *c, struct history_query *q, history_job_cb *cb, void *ctx)
{
    struct looking_back g = {.c = c, .q = q, .cb = cb, .ctx = ctx, .page = PAGE_ENTRIES_FIRST};
    struct redisReply *r;
    int rc = 0;

    if (!look_back_from(&g))
        return 0;
    g.key = redis_key(q->account, "history");
    while (rc == 0 && !g.over) {
        char count[16];

        snprintf(count, sizeof(count), "%" PRIu32, g.page);
        rc = client_ask_words(
            c, (const char *const[]){"XREVRANGE", g.key, g.from, "-", "COUNT", count, NULL}, &r);
        if (rc == 0)
            look_at_page(&g, r);
    }
    free(g.key);
    return rc;
}

/* -- forwards -- */

int history_newest(struct client *c, const char *account, char id[HISTORY_CURSOR_ROOM])
{
    char *key = redis_key(account, "history");
    struct redisReply *r;
    int rc = client_ask_words(
        c, (const char *const[]){"XREVRANGE", key, "+", "-", "COUNT", "1", NULL}, &r);

    free(key);
    if (rc < 0)
        return rc;
    snprintf(id, HISTORY_CURSOR_ROOM, "0-0");
    if (reply_count(r)) {
        struct span newest = reply_text(reply_at(reply_at(r, 0), 0));

        snprintf(id, HISTORY_CURSOR_ROOM, "%.*s", (int)min_u64(newest.n, 50), newest.p);
    }
    return 0;
}

static void hand_out_new(const struct history_query *q, const struct past_entry *e,
                         history_job_cb *cb, void *ctx)
{
    struct span text = e->jobs, line;

    while (span_next_word(&text, '\n', &line)) {
        struct json_t *j = history_match(q->wanted, line, e->at_ms);

        if (j)
            (void)cb(ctx, j);
    }
}

int history_follow(struct client *c, const struct history_query *q, char id[HISTORY_CURSOR_ROOM],
                   history_job_cb *cb, void *ctx)
{
    char *key = redis_key(q->account, "history"), from[HISTORY_CURSOR_ROOM + 2];
    struct redisReply *r;
    size_t n = PAGE_ENTRIES_FIRST;
    int rc = 0;

    while (rc == 0 && n == PAGE_ENTRIES_FIRST) {
        snprintf(from, sizeof(from), "(%s", id);
        rc = client_ask_words(
            c, (const char *const[]){"XRANGE", key, from, "+", "COUNT", "8", NULL}, &r);
        n = rc == 0 ? reply_count(r) : 0;
        for (size_t i = 0; i < n; i++) {
            struct past_entry e = past_entry_of(reply_at(r, i));

            snprintf(id, HISTORY_CURSOR_ROOM, "%.*s", (int)min_u64(e.id.n, 50), e.id.p);
            hand_out_new(q, &e, cb, ctx);
        }
    }
    free(key);
    return rc;
}
