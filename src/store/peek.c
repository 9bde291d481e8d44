/* SPDX-License-Identifier: MIT */
#include "peek.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "page_guard.h"

/* A page should have this size. How many entries that is, is estimated from the page before. An
 * entry may name ten thousand targets, so the first page is small. */
#define PAGE_BYTES ((size_t)4 * 1024 * 1024)
#define PAGE_ENTRIES_FIRST 16u
#define PAGE_ENTRIES_MAX 1000u
#define BOOKINGS_AT_ONCE 1000u

/* A stream that is read page by page. */
struct pages {
    char *key;
    char from[64]; /* "-", later "(<id>" */
    uint32_t entries;
    bool more, begun;
    struct page_guard guard;
};

static void pages_init(struct pages *p, char *key, uint32_t entries)
{
    *p = (struct pages){.key = key, .from = "-", .entries = entries, .more = true};
}

/* Reads at most `entries` further entries, lent until the next command. */
static int pages_next(struct client *c, struct pages *p, struct redisReply **out)
{
    char count[16];
    struct redisReply *r;
    int rc = p->begun ? 0 : page_guard_begin(&p->guard, c, p->key);

    if (rc < 0)
        return rc;
    p->begun = true;
    snprintf(count, sizeof(count), "%u", p->entries);
    rc = client_ask_words(
        c, (const char *const[]){"XRANGE", p->key, p->from, "+", "COUNT", count, NULL}, &r);
    if (rc == 0)
        rc = page_guard_check(&p->guard, c, r);
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

/* -- the jobs -- */

struct peek {
    struct client *client;
    struct pages lanes[LANE_N];
    struct span *fields;
    size_t fields_room;
};

struct peek *peek_new(struct client *c, const char *account)
{
    struct peek *p = alloc_zeroed(1, sizeof(*p));

    p->client = c;
    for (int lane = 0; lane < LANE_N; lane++)
        pages_init(&p->lanes[lane], redis_key_lane(account, (enum lane)lane), PAGE_ENTRIES_FIRST);
    return p;
}

void peek_free(struct peek *p)
{
    if (!p)
        return;
    for (int lane = 0; lane < LANE_N; lane++)
        free(p->lanes[lane].key);
    free(p->fields);
    free(p);
}

bool peek_more(const struct peek *p, enum lane lane)
{
    return p->lanes[lane].more;
}

uint32_t peek_page_entries(const struct peek *p, enum lane lane)
{
    return p->lanes[lane].entries;
}

/* Returns the bytes of the entry's fields. */
static size_t hand_out(struct peek *p, enum lane lane, const struct redisReply *entry,
                       peek_entry_cb *cb, void *ctx)
{
    const struct redisReply *fields = reply_at(entry, 1);
    size_t count = reply_count(fields), bytes = 0;

    if (count > p->fields_room) {
        p->fields_room = count;
        p->fields = alloc_grow(p->fields, count, sizeof(*p->fields));
    }
    for (size_t i = 0; i < count; i++) {
        p->fields[i] = reply_text(reply_at(fields, i));
        bytes += p->fields[i].n;
    }
    cb(ctx, lane, reply_text(reply_at(entry, 0)), p->fields, count);
    return bytes;
}

static uint32_t entries_per_page(uint32_t entries, size_t bytes)
{
    uint64_t fit = PAGE_BYTES / max_u64(bytes / entries, 1);

    return (uint32_t)max_u64(1, min_u64(min_u64(fit, (uint64_t)entries * 4), PAGE_ENTRIES_MAX));
}

int peek_page(struct peek *p, enum lane lane, peek_entry_cb *cb, void *ctx)
{
    struct pages *pages = &p->lanes[lane];
    struct redisReply *r;
    size_t bytes = 0;
    int rc = pages_next(p->client, pages, &r);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < reply_count(r); i++)
        bytes += hand_out(p, lane, reply_at(r, i), cb, ctx);
    pages->entries = entries_per_page(pages->entries, bytes);
    return 0;
}

/* -- the budget -- */

struct ledger_peek {
    struct client *client;
    const struct peek_budget_sink *sink;
    void *ctx;
    uint64_t now_ms; /* Redis' clock */
};

static int read_bookings(const struct ledger_peek *k, struct pages *bookings,
                         enum ledger_kind ledger)
{
    struct redisReply *r;
    int rc = 0;

    while (rc == 0 && bookings->more) {
        rc = pages_next(k->client, bookings, &r);
        for (size_t i = 0; rc == 0 && i < reply_count(r); i++) {
            const struct redisReply *entry = reply_at(r, i);
            int64_t cost = reply_number(reply_at(reply_at(entry, 1), 1));

            if (cost > 0)
                k->sink->spent(k->ctx, ledger, (uint64_t)cost,
                               minus_u64(k->now_ms, reply_id_ms(reply_at(entry, 0))));
        }
    }
    return rc;
}

/* Reads what a 429 taught. The account's time went on since `clock` was stored at `clock_at`. */
static int read_learnt(const struct ledger_peek *k, const char *account, enum ledger_kind ledger)
{
    char *key = redis_key(account, "budget"), burst[32], at[32];
    struct redisReply *r;
    uint64_t clock_ms;
    int rc;

    snprintf(burst, sizeof(burst), "%s:learnt", ledger_names[ledger]);
    snprintf(at, sizeof(at), "%s:learnt_at", ledger_names[ledger]);
    rc = client_ask_words(
        k->client, (const char *const[]){"HMGET", key, burst, at, "clock", "clock_at", NULL}, &r);
    free(key);
    if (rc < 0 || reply_u64(reply_at(r, 0)) == 0)
        return rc;
    clock_ms = add_time(reply_u64(reply_at(r, 2)), minus_u64(k->now_ms, reply_u64(reply_at(r, 3))));
    k->sink->learnt(k->ctx, ledger, reply_u64(reply_at(r, 0)),
                    minus_u64(clock_ms, reply_u64(reply_at(r, 1))));
    return 0;
}

/* Reads the open units, the level and its time, as the dispatcher last stored them. */
static int read_level(const struct ledger_peek *k, const char *account, enum ledger_kind ledger)
{
    char *key = redis_key(account, "budget"), fields[3][32];
    static const char *const names[] = {"open", "level", "level_at"};
    struct redisReply *r;
    int rc;

    for (int i = 0; i < 3; i++)
        snprintf(fields[i], sizeof(fields[i]), "%s:%s", ledger_names[ledger], names[i]);
    rc = client_ask_words(
        k->client, (const char *const[]){"HMGET", key, fields[0], fields[1], fields[2], NULL}, &r);
    free(key);
    if (rc < 0 || reply_nil(reply_at(r, 0)))
        return rc;
    k->sink->level(k->ctx, ledger, (uint64_t)reply_number(reply_at(r, 1)),
                   minus_u64(k->now_ms, (uint64_t)reply_number(reply_at(r, 2))));
    if (reply_number(reply_at(r, 0)) > 0)
        k->sink->spent(k->ctx, ledger, (uint64_t)reply_number(reply_at(r, 0)), 0);
    return 0;
}

static int read_ledger(const struct ledger_peek *k, const struct config_account *a,
                       enum ledger_kind ledger)
{
    uint64_t window_ms =
        (uint64_t)(ledger == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s) * 1000;
    struct pages bookings;
    char what[32];
    int rc;

    snprintf(what, sizeof(what), "spent:%s", ledger_names[ledger]);
    pages_init(&bookings, redis_key(a->name, what), BOOKINGS_AT_ONCE);
    snprintf(bookings.from, sizeof(bookings.from), "%" PRIu64, minus_u64(k->now_ms, window_ms));
    rc = read_bookings(k, &bookings, ledger);
    free(bookings.key);
    if (rc == 0)
        rc = read_learnt(k, a->name, ledger);
    return rc < 0 ? rc : read_level(k, a->name, ledger);
}

int peek_budget(struct client *c, const struct config_account *a,
                const struct peek_budget_sink *sink, void *ctx)
{
    struct ledger_peek k = {.client = c, .sink = sink, .ctx = ctx};
    struct redisReply *r;
    int rc = client_ask_words(c, (const char *const[]){"TIME", NULL}, &r);

    if (rc < 0)
        return rc;
    k.now_ms = reply_time_ms(r);
    for (int l = 0; rc == 0 && l < LEDGER_N; l++)
        rc = read_ledger(&k, a, (enum ledger_kind)l);
    return rc;
}
