/* SPDX-License-Identifier: MIT
 * One queue on a loop with a real Redis. The test drives it step by step. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "on_loop.h"
#include "queue.h"
#include "redis_server.h"

#define P "purgeline:{main}:"
#define ENTRIES_MAX 1024

struct seen { /* a copy of an entry: name=value, one per line */
    enum lane lane;
    struct entry_id id;
    size_t fields_count;
    bool large;
    uint64_t bytes;
    bool oversized;
    char text[256];
};

struct world {
    struct redis_server *server;
    struct loop *loop;
    struct timer *patience;
    struct queue *q;
    struct queue_keep keep; /* for ask_settle */
    int ups, downs, answers;
    char why[256];
    int err;
    char refusal[256]; /* the last error message of Redis */
    bool closed;
    /* The last answer of each kind. */
    struct queue_lease lead;
    struct queue_server info;
    struct seen entries[ENTRIES_MAX];
    size_t count;
    bool all;
    uint64_t entry_max_bytes, room_bytes; /* for the next read */
    size_t take_most;
    struct queue_depth depth[LANE_N];
    uint32_t moved;
    uint64_t next_due_ms;
    struct queue_budget budget;
    struct queue_spent spent[64];
};

static inline void world_answered(struct world *w, int err)
{
    w->answers++;
    w->err = err;
    loop_stop(w->loop);
}

static inline void world_on_up(void *ctx)
{
    struct world *w = ctx;

    w->ups++;
    loop_stop(w->loop);
}

static inline void world_on_down(void *ctx, const char *why)
{
    struct world *w = ctx;

    w->downs++;
    snprintf(w->why, sizeof(w->why), "%s", why);
    loop_stop(w->loop);
}

static inline void world_on_refused(void *ctx, const struct queue_refusal *r)
{
    struct world *w = ctx;

    snprintf(w->refusal, sizeof(w->refusal), "%s", r->words);
}

static inline void world_on_closed(void *ctx)
{
    struct world *w = ctx;

    w->closed = true;
    loop_stop(w->loop);
}

/* A second instance that uses the same server. The other world stops `server`. */
static inline struct world *world_open(struct redis_server *server, const char *owner)
{
    static const struct queue_callbacks cb = {
        .up = world_on_up, .down = world_on_down, .refused = world_on_refused};
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct redis_address a;
    struct error err;

    w->server = server;
    w->keep = (struct queue_keep){.receipt_ttl_s = 60};
    w->entry_max_bytes = w->room_bytes = UINT64_C(1) << 30;
    w->take_most = SIZE_MAX;
    if (redis_address_parse(redis_server_url(server), &a, &err) < 0)
        fail_msg("%s", err.text);
    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->q = queue_new(w->loop, &a, "main", owner, &cb, w);
    redis_address_deinit(&a);
    run_until(w, w->ups == 1);
    return w;
}

static inline struct world *world_new(void)
{
    return world_open(redis_server_start(NULL, NULL), "me");
}

static inline void world_close(struct world *w)
{
    queue_close(w->q, world_on_closed, w);
    timer_close(w->patience);
    while (!w->closed)
        loop_run(w->loop);
    loop_run(w->loop);
    loop_free(w->loop);
    free(w);
}

static inline void world_free(struct world *w)
{
    struct redis_server *server = w->server;

    world_close(w);
    redis_server_stop(server);
}

/* -- commands: each waits for its answer -- */

static inline void world_on_done(void *ctx, int err)
{
    world_answered(ctx, err);
}

static inline int await(struct world *w, int answers)
{
    run_until(w, w->answers == answers);
    if (w->err == -EIO)
        print_message("%s\n", w->refusal);
    return w->err;
}

static inline void world_on_lease(void *ctx, int err, const struct queue_lease *lead)
{
    struct world *w = ctx;

    if (lead)
        w->lead = *lead;
    world_answered(w, err);
}

/* The account's time is taken from this machine's clock. */
static inline struct queue_clock world_clock(void)
{
    uint64_t now_ms = clock_wall_ms();

    return (struct queue_clock){now_ms, now_ms};
}

static inline int ask_lease(struct world *w, uint64_t ttl_ms, const char *usurp, const char *status)
{
    struct queue_clock clock = world_clock();
    int answers = w->answers;

    queue_lease(w->q, ttl_ms, usurp, span_str(status), &clock, NULL, world_on_lease, w);
    assert_int_equal(w->answers, answers);
    return await(w, answers + 1);
}

static inline void world_copy_entry(struct seen *s, const struct queue_entry *e)
{
    size_t n = 0;

    s->lane = e->lane;
    s->id = e->id;
    s->fields_count = e->fields_count;
    s->large = queue_entry_is_large(e);
    s->bytes = e->bytes;
    s->oversized = e->oversized;
    s->text[0] = '\0';
    for (size_t i = 0; i + 1 < e->fields_count && n < sizeof(s->text); i += 2)
        n += (size_t)snprintf(s->text + n, sizeof(s->text) - n, "%.*s=%.*s\n", (int)e->fields[i].n,
                              e->fields[i].p, (int)e->fields[i + 1].n, e->fields[i + 1].p);
}

static inline bool world_room(void *ctx, enum lane lane, uint64_t bytes)
{
    struct world *w = ctx;

    (void)lane;
    return bytes <= w->room_bytes;
}

static inline bool world_on_entry(void *ctx, const struct queue_entry *e)
{
    struct world *w = ctx;

    if (w->count == w->take_most)
        return false;
    if (w->count < ENTRIES_MAX)
        world_copy_entry(&w->entries[w->count], e);
    w->count++;
    return true;
}

static inline void world_on_read(void *ctx, int err, bool all)
{
    struct world *w = ctx;

    w->all = all;
    world_answered(w, err);
}

/* Reads from the lanes whose number is above 0. The limit for each of them is the largest number.
 */
static inline void start_read(struct world *w, uint32_t urgent, uint32_t normal, uint32_t bulk,
                              uint32_t block_ms)
{
    struct queue_read how = {.lanes = {urgent > 0, normal > 0, bulk > 0},
                             .count = (uint32_t)max_u64(urgent, max_u64(normal, bulk)),
                             .block_ms = block_ms,
                             .entry_max_bytes = w->entry_max_bytes,
                             .room = world_room,
                             .entry = world_on_entry,
                             .done = world_on_read};
    int answers = w->answers;

    w->count = 0;
    queue_read(w->q, &how, w);
    assert_int_equal(w->answers, answers);
}

static inline int ask_read(struct world *w, uint32_t urgent, uint32_t normal, uint32_t bulk)
{
    int answers = w->answers;

    start_read(w, urgent, normal, bulk, 0);
    return await(w, answers + 1);
}

static inline int ask_settle(struct world *w, const struct queue_settle *items, size_t count)
{
    int answers = w->answers;

    queue_settle(w->q, items, count, &w->keep, world_on_done, w);
    assert_int_equal(w->answers, answers);
    return await(w, answers + 1);
}

static inline void world_on_depth(void *ctx, int err, const struct queue_depth depth[LANE_N])
{
    struct world *w = ctx;

    memcpy(w->depth, depth, sizeof(w->depth));
    world_answered(w, err);
}

static inline int ask_depth(struct world *w)
{
    int answers = w->answers;

    queue_depth(w->q, world_on_depth, w);
    return await(w, answers + 1);
}

static inline void world_on_due(void *ctx, int err, uint32_t moved, uint64_t next_due_ms)
{
    struct world *w = ctx;

    w->moved = moved;
    w->next_due_ms = next_due_ms;
    world_answered(w, err);
}

static inline int ask_due(struct world *w, uint64_t wall_ms, uint32_t limit)
{
    int answers = w->answers;

    queue_due(w->q, wall_ms, limit, world_on_due, w);
    return await(w, answers + 1);
}

static inline int ask_spend(struct world *w, struct queue_spend s)
{
    int answers = w->answers;

    if (!s.clock.account_ms)
        s.clock = world_clock();
    queue_spend(w->q, &s, world_on_done, w);
    assert_int_equal(w->answers, answers);
    return await(w, answers + 1);
}

static inline void world_on_budget(void *ctx, int err, const struct queue_budget *b)
{
    struct world *w = ctx;

    memset(&w->budget, 0, sizeof(w->budget));
    if (b) {
        w->budget = *b;
        assert_in_range(b->spent_count, 0, array_len(w->spent));
        if (b->spent_count)
            memcpy(w->spent, b->spent, b->spent_count * sizeof(*b->spent));
    }
    world_answered(w, err);
}

#define LATE_MS 20000 /* wait this long for requests that a previous leader left behind */

static inline int ask_restore(struct world *w, enum ledger_kind ledger, uint64_t window_ms)
{
    struct queue_restore r = {.ledger = ledger,
                              .window_ms = window_ms,
                              .late_ms = LATE_MS,
                              .clock = {0, clock_wall_ms()}};
    int answers = w->answers;

    queue_budget_restore(w->q, &r, world_on_budget, w);
    return await(w, answers + 1);
}

static inline void world_on_server(void *ctx, int err, const struct queue_server *s)
{
    struct world *w = ctx;

    if (s)
        w->info = *s;
    world_answered(w, err);
}

/* -- what is in Redis -- */

static inline void push(struct world *w, const char *lane, const char *key)
{
    char *id = redis_server_str(w->server, "XADD " P "jobs:%s * service news keys %s", lane, key);

    free(id);
}

static inline void expect_str(struct world *w, const char *expected, const char *command)
{
    char *is = redis_server_str(w->server, command);

    assert_string_equal(is, expected);
    free(is);
}

#define expect_int(w, expected, ...)                                                               \
    assert_int_equal(redis_server_int((w)->server, __VA_ARGS__), expected)

static inline char *job_id(const struct seen *s)
{
    return alloc_printf("%s-%llu-%llu", lane_names[s->lane], (unsigned long long)s->id.ms,
                        (unsigned long long)s->id.seq);
}

static inline struct queue_settle purged(const struct seen *s)
{
    return (struct queue_settle){.lane = s->lane,
                                 .id = s->id,
                                 .outcome = OUTCOME_PURGED,
                                 .plain = true,
                                 .receipt = true,
                                 .targets = 1};
}

static inline struct queue_settle ended(const struct seen *s, enum outcome outcome)
{
    return (struct queue_settle){.lane = s->lane,
                                 .id = s->id,
                                 .outcome = outcome,
                                 .receipt = true,
                                 .large = s->large,
                                 .targets = 1,
                                 .reason = SPAN("because"),
                                 .target = SPAN("key-1")};
}

/* -- jobs and receipts -- */

/* Pushes `count` jobs to a lane, and reads them. */
static inline void have(struct world *w, const char *lane, int count)
{
    for (int i = 0; i < count; i++)
        push(w, lane, "k");
    assert_int_equal(ask_read(w, 1000, 1000, 1000), 0);
    assert_int_equal(w->count, count);
}

static inline json_t *receipt_of(struct world *w, const char *job)
{
    char *text = redis_server_str(w->server, "GET " P "receipt:%s", job);
    json_error_t error;
    json_t *json;

    if (!text[0])
        fail_msg("no receipt for %s", job);
    json = json_loads(text, 0, &error);
    if (!json)
        fail_msg("%s: %s", error.text, text);
    free(text);
    return json;
}

static inline void expect_receipt(struct world *w, const char *job, const char *state)
{
    json_t *r = receipt_of(w, job);

    assert_string_equal(json_string_value(json_object_get(r, "job")), job);
    assert_string_equal(json_string_value(json_object_get(r, "state")), state);
    assert_in_range(json_integer_value(json_object_get(r, "at")), clock_wall_ms() - 60000,
                    clock_wall_ms() + 1000);
    json_decref(r);
}

static inline void expect_receipt_word(struct world *w, const char *job, const char *name,
                                       const char *value)
{
    json_t *r = receipt_of(w, job);

    assert_string_equal(json_string_value(json_object_get(r, name)), value);
    json_decref(r);
}
