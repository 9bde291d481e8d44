/* SPDX-License-Identifier: MIT */
#include "backlog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "rediskey.h"

/* A page is to be so large; how many entries that are is learned from the one before. An entry may
 * name ten thousand targets, so the first page is small. */
#define PAGE_BYTES ((size_t)4 * 1024 * 1024)
#define PAGE_ENTRIES_FIRST 16u
#define PAGE_ENTRIES_MAX 1000u
#define BOOKINGS_AT_ONCE 1000u

/* A stream, page by page. */
struct pages {
    char *key;
    char from[64]; /* "-", later "(<id>" */
    uint32_t entries;
    bool more;
};

static void pages_init(struct pages *p, char *key, uint32_t entries)
{
    *p = (struct pages){.key = key, .from = "-", .entries = entries, .more = true};
}

/* The next at most `entries` entries, lent until the next question. */
static int pages_next(struct client *c, struct pages *p, struct redisReply **out)
{
    char count[16];
    struct redisReply *r;
    int rc;

    snprintf(count, sizeof(count), "%u", p->entries);
    rc = client_ask_words(
        c, (const char *const[]){"XRANGE", p->key, p->from, "+", "COUNT", count, NULL}, &r);
    if (rc < 0)
        return rc;
    p->more = reply_count(r) == p->entries;
    if (p->more) {
        struct span id = reply_text(reply_at(reply_at(r, reply_count(r) - 1), 0));

        snprintf(p->from, sizeof(p->from), "(%.*s", (int)id.n, id.p);
    }
    *out = r;
    return 0;
}

/* -- the budget ------------------------------------------------------------------------------ */

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static int read_bookings(struct client *c, struct pages *bookings, uint64_t now_ms, struct plan *p,
                         enum ledger ledger)
{
    struct redisReply *r;
    int rc = 0;

    while (rc == 0 && bookings->more) {
        rc = pages_next(c, bookings, &r);
        for (size_t i = 0; rc == 0 && i < reply_count(r); i++) {
            const struct redisReply *entry = reply_at(r, i);
            int64_t cost = reply_number(reply_at(reply_at(entry, 1), 1));

            if (cost > 0)
                plan_spent(p, ledger, (uint64_t)cost,
                           since(reply_id_ms(reply_at(entry, 0)), now_ms));
        }
    }
    return rc;
}

/* open, level and when that was, as the dispatcher noted them last. */
static int read_level(struct client *c, const char *account, uint64_t now_ms, struct plan *p,
                      enum ledger ledger)
{
    char *key = rediskey(account, "budget"), fields[3][32];
    static const char *const names[] = {"open", "level", "level_at"};
    struct redisReply *r;
    int rc;

    for (int i = 0; i < 3; i++)
        snprintf(fields[i], sizeof(fields[i]), "%s:%s", ledger_names[ledger], names[i]);
    rc = client_ask_words(
        c, (const char *const[]){"HMGET", key, fields[0], fields[1], fields[2], NULL}, &r);
    free(key);
    if (rc < 0 || reply_nil(reply_at(r, 0)))
        return rc;
    plan_level(p, ledger, (uint64_t)reply_number(reply_at(r, 1)),
               since((uint64_t)reply_number(reply_at(r, 2)), now_ms));
    if (reply_number(reply_at(r, 0)) > 0)
        plan_spent(p, ledger, (uint64_t)reply_number(reply_at(r, 0)), 0);
    return 0;
}

static int read_ledger(struct client *c, const struct config_account *a, enum ledger ledger,
                       uint64_t now_ms, struct plan *p)
{
    uint64_t window_ms =
        (uint64_t)(ledger == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s) * 1000;
    struct pages bookings;
    char what[32];
    int rc;

    snprintf(what, sizeof(what), "spent:%s", ledger_names[ledger]);
    pages_init(&bookings, rediskey(a->name, what), BOOKINGS_AT_ONCE);
    snprintf(bookings.from, sizeof(bookings.from), "%" PRIu64, since(window_ms, now_ms));
    rc = read_bookings(c, &bookings, now_ms, p, ledger);
    free(bookings.key);
    return rc < 0 ? rc : read_level(c, a->name, now_ms, p, ledger);
}

int backlog_read_budget(struct client *c, const struct config_account *a, struct plan *p)
{
    struct redisReply *r;
    uint64_t now_ms;
    int rc = client_ask_words(c, (const char *const[]){"TIME", NULL}, &r);

    if (rc < 0)
        return rc;
    now_ms = reply_time_ms(r);
    for (int l = 0; rc == 0 && l < LEDGER_N; l++)
        rc = read_ledger(c, a, (enum ledger)l, now_ms, p);
    return rc;
}

/* -- the jobs -------------------------------------------------------------------------------- */

struct reading {
    struct client *client;
    struct plan *plan;
    struct pages pages[LANE_N];
    struct backlog_counts *counts;
    struct span *fields;
    size_t fields_room;
    uint64_t jobs;
};

static void refuse(struct reading *g, enum lane lane, struct span id, const char *why)
{
    if (g->counts->refused++ == 0)
        snprintf(g->counts->why, sizeof(g->counts->why), "%s-%.*s: %s", lane_names[lane], (int)id.n,
                 id.p, why);
}

/* Returns the bytes of its fields. */
static size_t take_entry(struct reading *g, enum lane lane, const struct redisReply *entry)
{
    const struct redisReply *fields = reply_at(entry, 1);
    size_t count = reply_count(fields), bytes = 0;
    char why[128];

    if (count > g->fields_room) {
        g->fields_room = count;
        g->fields = alloc_grow(g->fields, count, sizeof(*g->fields));
    }
    for (size_t i = 0; i < count; i++) {
        g->fields[i] = reply_text(reply_at(fields, i));
        bytes += g->fields[i].n;
    }
    g->jobs++;
    if (plan_take(g->plan, lane, g->fields, count, why, sizeof(why)) < 0)
        refuse(g, lane, reply_text(reply_at(entry, 0)), why);
    return bytes;
}

static uint32_t next_page(uint32_t entries, size_t bytes)
{
    uint64_t fit = PAGE_BYTES / max_u64(bytes / entries, 1);

    return (uint32_t)max_u64(1, min_u64(min_u64(fit, (uint64_t)entries * 4), PAGE_ENTRIES_MAX));
}

static int read_page(struct reading *g, enum lane lane)
{
    struct pages *pages = &g->pages[lane];
    struct redisReply *r;
    size_t bytes = 0;
    int rc = pages_next(g->client, pages, &r);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < reply_count(r); i++)
        bytes += take_entry(g, lane, reply_at(r, i));
    pages->entries = next_page(pages->entries, bytes);
    return 0;
}

/* The highest lane that has more and finds room, or else the highest that has more; LANE_N: none.
 */
static int choose_lane(const struct reading *g)
{
    int first = LANE_N;

    for (int lane = LANE_N - 1; lane >= 0; lane--)
        if (g->pages[lane].more)
            first = lane;
    for (int lane = 0; lane < LANE_N; lane++)
        if (g->pages[lane].more && plan_room(g->plan, (enum lane)lane) >= g->pages[lane].entries)
            return lane;
    return first;
}

int backlog_read_jobs(struct client *c, const struct config_account *a, struct plan *p,
                      struct backlog_counts *counts, backlog_progress_cb *progress, void *ctx)
{
    struct reading g = {.client = c, .plan = p, .counts = counts};
    int lane, rc = 0;

    *counts = (struct backlog_counts){0};
    for (lane = 0; lane < LANE_N; lane++)
        pages_init(&g.pages[lane], rediskey_lane(a->name, (enum lane)lane), PAGE_ENTRIES_FIRST);
    while (rc == 0 && (lane = choose_lane(&g)) < LANE_N) {
        plan_make_room(p, (enum lane)lane, g.pages[lane].entries);
        rc = read_page(&g, (enum lane)lane);
        if (rc == 0 && !progress(ctx, g.jobs))
            rc = -ECANCELED;
    }
    for (lane = 0; lane < LANE_N; lane++)
        free(g.pages[lane].key);
    free(g.fields);
    return rc;
}
