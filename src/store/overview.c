/* SPDX-License-Identifier: MIT */
#include "overview.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "overview_words.h"
#include "page_guard.h"
#include "redis_error.h"

#define SPENT_AT_ONCE 1000
#define OVERVIEW_INSTANCE_MS 5000 /* how long an announcement holds */

static int read_now(struct client *c, uint64_t *ms)
{
    struct redisReply *r;
    int rc = client_ask_words(c, (const char *const[]){"TIME", NULL}, &r);

    if (rc == 0)
        *ms = reply_time_ms(r);
    return rc;
}

static char *copy(const struct redisReply *r)
{
    struct span s = reply_text(r);

    return reply_nil(r) ? NULL : alloc_copy(s.p, s.n);
}

/* Sends one command with one key. `more`: further arguments, ended by NULL; or NULL. */
static int ask_key(struct client *c, const char *account, const char *command, const char *what,
                   const char *const *more, struct redisReply **out)
{
    char *key = redis_key(account, what);
    const char *words[8] = {command, key};
    int rc;

    for (int i = 0; more && more[i]; i++)
        words[2 + i] = more[i];
    rc = client_ask_words(c, words, out);
    free(key);
    return rc;
}

void overview_take_status(struct overview *o, struct span status)
{
    json_t *j = json_loadb(status.p, status.n, 0, NULL);

    for (int lane = 0; lane < LANE_N; lane++) {
        char name[24];

        snprintf(name, sizeof(name), "in_hand_%s", lane_names[lane]);
        o->lanes[lane].in_hand = (uint64_t)json_integer_value(json_object_get(j, name));
    }
    json_decref(j);
}

static int read_lane(struct client *c, const char *account, enum lane lane, uint64_t now_ms,
                     struct overview_lane *out)
{
    static const char *const first[] = {"-", "+", "COUNT", "1", NULL};
    struct redisReply *r;
    char what[32];
    int rc;

    snprintf(what, sizeof(what), "jobs:%s", lane_names[lane]);
    rc = ask_key(c, account, "XLEN", what, NULL, &r);
    if (rc < 0)
        return rc;
    out->jobs = (uint64_t)reply_number(r);
    rc = ask_key(c, account, "XRANGE", what, first, &r);
    if (rc < 0)
        return rc;
    if (reply_count(r))
        out->oldest_ms = minus_u64(now_ms, reply_id_ms(reply_at(reply_at(r, 0), 0)));
    return 0;
}

static int read_waiting(struct client *c, const char *account, uint64_t now_ms, struct overview *o)
{
    static const char *const first[] = {"0", "0", "WITHSCORES", NULL};
    struct redisReply *r;
    int rc = ask_key(c, account, "ZCARD", "later", NULL, &r); /* postponed by version 0.1.0 */

    if (rc == 0)
        o->later = (uint64_t)reply_number(r);
    if (rc == 0)
        rc = ask_key(c, account, "ZCARD", "postponed", NULL, &r);
    if (rc == 0)
        o->later += (uint64_t)reply_number(r);
    if (rc == 0)
        rc = ask_key(c, account, "ZRANGE", "postponed", first, &r);
    if (rc == 0 && reply_count(r) == 2)
        o->later_next_ms = minus_u64((uint64_t)reply_number(reply_at(r, 1)), now_ms);
    if (rc == 0)
        rc = ask_key(c, account, "XLEN", "dead", NULL, &r);
    if (rc == 0)
        o->dead = (uint64_t)reply_number(r);
    return rc;
}

void overview_take_stalled(struct overview *o, bool endless)
{
    json_t *j = o->status ? json_loads(o->status, 0, NULL) : NULL;
    const char *why = json_string_value(json_object_get(j, "stalled"));

    o->stalled = why ? alloc_str(why) : NULL;
    json_decref(j);
    if (endless && !o->stalled)
        o->stalled = alloc_str("the lease never expires, so nobody can take over from its holder "
                               "(purgeline check --repair)");
}

static int read_leader(struct client *c, const char *account, uint64_t now_ms, struct overview *o)
{
    static const char *const control[] = {"paused", "why", "by", "at", NULL};
    struct redisReply *r;
    bool endless;
    int rc = ask_key(c, account, "GET", "lease", NULL, &r);

    if (rc < 0)
        return rc;
    o->leader = copy(r);
    rc = ask_key(c, account, "PTTL", "lease", NULL, &r);
    if (rc < 0)
        return rc;
    endless = o->leader && reply_number(r) == -1;
    rc = ask_key(c, account, "GET", "status", NULL, &r);
    if (rc < 0)
        return rc;
    o->status = copy(r);
    overview_take_status(o, reply_text(r));
    overview_take_stalled(o, endless);
    rc = ask_key(c, account, "HMGET", "control", control, &r);
    if (rc < 0)
        return rc;
    o->paused = reply_number(reply_at(r, 0)) == 1;
    o->paused_why = copy(reply_at(r, 1));
    o->paused_by = copy(reply_at(r, 2));
    if (o->paused)
        o->paused_ms = minus_u64(now_ms, (uint64_t)reply_number(reply_at(r, 3)));
    return 0;
}

void overview_take_instances(struct overview *o, const struct redisReply *r, uint64_t now_ms)
{
    for (size_t i = 0; i + 1 < reply_count(r); i += 2) {
        struct span name = reply_text(reply_at(r, i)), role;
        uint64_t at_ms = reply_u64(reply_at(r, i + 1));
        bool there = false;

        if (!span_next_word(&name, ' ', &role) || name.n < 2 || span_is(role, "next") ||
            max_u64(now_ms, at_ms) - min_u64(now_ms, at_ms) > OVERVIEW_INSTANCE_MS)
            continue;
        name = span_of(name.p + 1, name.n - 1);
        for (uint32_t k = 0; k < o->instances.count; k++)
            there = there || span_is(name, o->instances.at[k]);
        if (!there && config_words_add(&o->instances, name) < 0)
            break;
    }
}

static int read_instances(struct client *c, const char *account, uint64_t now_ms,
                          struct overview *o)
{
    static const char *const all[] = {"0", "255", "WITHSCORES", NULL};
    struct redisReply *r;
    int rc = ask_key(c, account, "ZRANGE", "instances", all, &r);

    if (rc == 0)
        overview_take_instances(o, r, now_ms);
    return rc;
}

/* A user whose permissions are from an earlier version may not read them. */
static int read_consumers(struct client *c, const char *account, uint64_t now_ms,
                          struct overview *o)
{
    struct redisReply *r;
    int rc = ask_key(c, account, "HGETALL", "consumers", NULL, &r);

    if (rc == -EIO && redis_error_of(client_error(c)) == REDIS_ERROR_NOPERM)
        return 0;
    if (rc == 0)
        consumer_states_take(r, now_ms, &o->consumers);
    return rc;
}

/* Zeros if the user may not run scripts. */
static int read_reads(struct client *c, const char *account, struct overview *o)
{
    int rc = read_ledger_look(c, account, o->reads);

    return rc == -EIO && redis_error_of(client_error(c)) == REDIS_ERROR_NOPERM ? 0 : rc;
}

/* -- budget -- */

/* Adds up one page of bookings that begins at `from`. *next is where the next page begins, NULL
 * after the last. */
static int add_spent(struct client *c, const char *account, const char *what, const char *from,
                     struct page_guard *guard, uint64_t *sum, char **next)
{
    struct redisReply *r;
    int rc = ask_key(c, account, "XRANGE", what,
                     (const char *const[]){from, "+", "COUNT", "1000", NULL}, &r);
    size_t n;

    *next = NULL;
    if (rc == 0)
        rc = page_guard_check(guard, c, r);
    if (rc < 0)
        return rc;
    n = reply_count(r);
    for (size_t i = 0; i < n; i++)
        *sum += (uint64_t)reply_number(reply_at(reply_at(reply_at(r, i), 1), 1));
    if (n == SPENT_AT_ONCE)
        *next = alloc_printf("(%s", reply_text(reply_at(reply_at(r, n - 1), 0)).p);
    return 0;
}

static int read_spent(struct client *c, const char *account, enum ledger_kind ledger,
                      uint64_t from_ms, uint64_t *sum)
{
    char what[32], *from = alloc_printf("%" PRIu64, from_ms), *next = NULL, *key;
    struct page_guard guard;
    int rc;

    snprintf(what, sizeof(what), "spent:%s", ledger_names[ledger]);
    key = redis_key(account, what);
    rc = page_guard_begin(&guard, c, key);
    free(key);
    do {
        if (rc == 0)
            rc = add_spent(c, account, what, from, &guard, sum, &next);
        free(from);
        from = next;
    } while (rc == 0 && next);
    free(from);
    return rc;
}

void overview_take_limits(const struct config_account *a, enum ledger_kind ledger,
                          struct overview_budget *b)
{
    bool write = ledger == LEDGER_WRITE;

    b->counted = write ? a->allow_purge_all : ledger == LEDGER_PURGE || a->budget.separate;
    if (!b->counted)
        return;
    b->units = write ? a->writes.requests : a->budget.purges;
    b->headroom = write ? 0 : a->budget.headroom;
}

static int read_budget(struct client *c, const struct config_account *a, enum ledger_kind ledger,
                       uint64_t now_ms, struct overview_budget *b)
{
    bool write = ledger == LEDGER_WRITE;
    uint64_t window_ms = (uint64_t)(write ? a->writes.per_s : a->budget.per_s) * 1000, used;
    struct redisReply *r;
    char field[32];
    int rc;

    overview_take_limits(a, ledger, b);
    if (!b->counted)
        return 0;
    snprintf(field, sizeof(field), "%s:open", ledger_names[ledger]);
    rc = ask_key(c, a->name, "HGET", "budget", (const char *const[]){field, NULL}, &r);
    if (rc < 0)
        return rc;
    b->known = !reply_nil(r);
    b->open = (uint64_t)reply_number(r);
    rc = read_spent(c, a->name, ledger, minus_u64(now_ms, window_ms), &b->spent);
    used = b->spent + b->open + b->headroom;
    b->left = minus_u64(b->units, used);
    return rc;
}

int overview_read(struct client *c, const struct config_account *a, struct overview *out)
{
    struct overview o = {0};
    uint64_t now_ms = 0;
    int rc = read_now(c, &now_ms);

    for (int lane = 0; rc == 0 && lane < LANE_N; lane++)
        rc = read_lane(c, a->name, (enum lane)lane, now_ms, &o.lanes[lane]);
    if (rc == 0)
        rc = read_waiting(c, a->name, now_ms, &o);
    if (rc == 0)
        rc = read_leader(c, a->name, now_ms, &o);
    if (rc == 0)
        rc = read_instances(c, a->name, now_ms, &o);
    if (rc == 0)
        rc = read_consumers(c, a->name, now_ms, &o);
    if (rc == 0)
        rc = read_reads(c, a->name, &o);
    if (rc == 0)
        rc = history_reach_look(c, a->name, &o.history);
    for (int ledger = 0; rc == 0 && ledger < LEDGER_N; ledger++)
        rc = read_budget(c, a, (enum ledger_kind)ledger, now_ms, &o.budget[ledger]);
    if (rc < 0)
        overview_deinit(&o);
    else
        *out = o;
    return rc;
}

bool overview_is_unreadable(const char *words)
{
    enum redis_error e = redis_error_of(words);

    return e == REDIS_ERROR_WRONGTYPE || e == REDIS_ERROR_NOPERM;
}

int overview_read_any(struct client *c, const struct config_account *a, struct overview *out)
{
    int rc = overview_read(c, a, out);

    if (rc != -EIO || !overview_is_unreadable(client_error(c)))
        return rc;
    *out = (struct overview){.unreadable = alloc_str(client_error(c))};
    return 0;
}

void overview_deinit(struct overview *o)
{
    free(o->unreadable);
    free(o->leader);
    free(o->paused_why);
    free(o->paused_by);
    free(o->stalled);
    free(o->status);
    config_words_free(&o->instances);
    consumer_states_deinit(&o->consumers);
    *o = (struct overview){0};
}

bool overview_needs_help(const struct overview *o)
{
    char words[OVERVIEW_WORDS_MAX];

    return overview_words(o, words, sizeof(words)) == OVERVIEW_TROUBLE;
}

char *overview_ask_needs_restart(struct client *c, const char *account)
{
    struct redisReply *r;
    const char *waits;
    char *out;
    json_t *j;

    if (ask_key(c, account, "GET", "status", NULL, &r) < 0)
        return NULL;
    j = json_loadb(reply_text(r).p, reply_text(r).n, 0, NULL);
    waits = json_string_value(json_object_get(j, "needs_restart"));
    out = waits ? alloc_str(waits) : NULL;
    json_decref(j);
    return out;
}
