/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"
#include "redis_error.h"

/* Two connections. A blocking XREAD delays all later commands on its connection, so the reader's
 * connection does nothing else:
 *
 *   reader   up ─▶ name ───────────────────────────────┐
 *   writer   up ─▶ name, scripts, are the lanes ours? ─┴─▶ queue is up
 *
 * The queue is down if either connection is lost; operations on the other connection continue. */

#define SETUP_RETRY_NS (1 * NS_PER_S)
#define SAY_AGAIN_NS (5 * NS_PER_S) /* minimum between reports of a changed outage reason */

/* Reports an outage, and again when its reason changes: "Connection refused" may become "NOAUTH
 * ..." when Redis is back, and then the first reason must not be the last one reported. */
static void say_down(struct queue *q, const char *why)
{
    uint64_t now_ns = clock_mono_ns();

    q->up = false;
    if (q->closed)
        return;
    if (q->down && ((!redis_says(why) && why != q->error) || strcmp(q->why_down, why) == 0 ||
                    now_ns < q->down_ns + SAY_AGAIN_NS))
        return;
    q->down = true;
    q->down_ns = now_ns;
    snprintf(q->why_down, sizeof(q->why_down), "%s", why);
    memset(q->refused, 0, sizeof(q->refused)); /* every question is asked anew */
    q->cb.down(q->ctx, why);
}

/* Reports that the connections are up, but the account's keys cannot be used. */
static void refuse(struct queue *q)
{
    const struct queue_refusal r = {
        .question = QUEUE_QUESTION_LANES, .doing = "look at the lanes", .words = q->error};

    say_down(q, q->error);
    if (q->cb.refused && !q->closed)
        q->cb.refused(q->ctx, &r);
    if (!q->closed)
        timer_start_at(q->retry, clock_mono_ns() + SETUP_RETRY_NS);
}

/* -- set-up -- */

static void half_ready(struct queue *q)
{
    if (!q->writer_ready || !q->reader_ready || q->up || q->closed)
        return;
    q->up = true;
    q->down = false;
    if (q->cb.accepted)
        q->cb.accepted(q->ctx, QUEUE_QUESTION_LANES);
    q->cb.up(q->ctx);
}

static int lanes_err(struct queue *q, const struct redisReply *reply)
{
    if (reply_count(reply) != LANE_N)
        return queue_distrust(q);
    for (size_t i = 0; i < LANE_N; i++) {
        const struct redisReply *lane = reply_at(reply, i);
        struct span why = reply_text(lane);

        if (reply_is_integer(lane))
            continue;
        if (!reply_is_string(lane))
            return queue_distrust(q);
        snprintf(q->error, sizeof(q->error), "%s: %.*s", q->keys[KEY_JOBS + i], (int)why.n, why.p);
        return -EIO;
    }
    return 0;
}

static void on_lanes(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)ctx;
    if (err == 0)
        err = lanes_err(q, reply);
    if (err == -ENOTCONN)
        return;
    if (err) {
        refuse(q);
        return;
    }
    q->writer_ready = true;
    half_ready(q);
}

static void look_at_lanes(struct queue *q)
{
    struct queue_args a;

    queue_args_init(&a);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_key(&a, q->keys[KEY_JOBS + lane]);
    queue_call_script(q, SCRIPT_LANES, &a, on_lanes, NULL);
}

/* All scripts at once would make the connection of each account keep a large buffer. */
#define LOADED_AT_ONCE_BYTES 4096

static void load_scripts(struct queue *q, size_t first);

static void on_script_loaded(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    size_t i = (uintptr_t)ctx;

    if (err == 0 && reply_text(reply).n == 40)
        memcpy(q->sha[i], reply_text(reply).p, 41);
    if (err == -ENOTCONN || i + 1 < q->loaded)
        return;
    if (q->loaded < SCRIPT_QUEUE_N)
        load_scripts(q, q->loaded);
    else
        look_at_lanes(q);
}

static void load_scripts(struct queue *q, size_t first)
{
    size_t bytes = 0;

    for (q->loaded = first; q->loaded < SCRIPT_QUEUE_N && bytes < LOADED_AT_ONCE_BYTES;
         q->loaded++) {
        struct span argv[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_str(scripts[q->loaded].text)};

        bytes += argv[2].n;
        queue_call_courtesy(q, q->writer, array_len(argv), argv, on_script_loaded,
                            (void *)(uintptr_t)q->loaded);
    }
}

static void on_named(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)q, (void)ctx, (void)err, (void)reply;
}

static void set_name(struct queue *q, struct redis *r, const char *name, queue_reply_cb *cb)
{
    struct span argv[] = {SPAN("CLIENT"), SPAN("SETNAME"), span_str(name)};

    queue_call_courtesy(q, r, array_len(argv), argv, cb, NULL);
}

static void set_up_writer(struct queue *q)
{
    load_scripts(q, 0);
}

static void on_writer_up(void *ctx)
{
    struct queue *q = ctx;
    char *name = alloc_printf("purgeline:%s:writer:%s", q->account, q->owner);

    set_name(q, q->writer, name, on_named);
    free(name);
    set_up_writer(q);
}

/* The reader's connection is only ready now, when no other command is under way on it: all further
 * bytes belong to reads. */
static void on_reader_named(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)ctx, (void)reply;
    if (err == -ENOTCONN)
        return;
    q->reader_ready = true;
    half_ready(q);
}

static void on_reader_up(void *ctx)
{
    struct queue *q = ctx;
    char *name = alloc_printf("purgeline:%s:reader:%s", q->account, q->owner);

    set_name(q, q->reader, name, on_reader_named);
    free(name);
}

static void on_writer_down(void *ctx, const char *why)
{
    struct queue *q = ctx;

    q->writer_ready = false;
    say_down(q, why);
}

static void on_reader_down(void *ctx, const char *why)
{
    struct queue *q = ctx;

    q->reader_ready = false;
    say_down(q, why);
}

static void on_retry(void *ctx)
{
    struct queue *q = ctx;

    if (redis_is_up(q->writer) && !q->writer_ready)
        set_up_writer(q);
}

/* -- creating and closing -- */

static void name_keys(struct queue *q)
{
    static const char *const rest[KEY_N] = {
        [KEY_DEAD] = "dead",
        [KEY_LATER] = "later",
        [KEY_LEASE] = "lease",
        [KEY_BUDGET] = "budget",
        [KEY_RECEIPT] = "receipt:",
        [KEY_CONTROL] = "control",
        [KEY_STATUS] = "status",
        [KEY_SETTLED] = "settled",
        [KEY_CANCELLED] = "cancelled",
        [KEY_POSTPONED] = "postponed",
        [KEY_POSTPONED_JOBS] = "postponed:jobs",
        [KEY_PLACES] = "places",
        [KEY_INSTANCES] = "instances",
    };

    for (int i = 0; i < LANE_N; i++)
        q->keys[KEY_JOBS + i] = alloc_printf("purgeline:{%s}:jobs:%s", q->account, lane_names[i]);
    for (int i = 0; i < LEDGER_N; i++)
        q->keys[KEY_SPENT + i] =
            alloc_printf("purgeline:{%s}:spent:%s", q->account, ledger_names[i]);
    for (int i = 0; i < KEY_N; i++)
        if (rest[i])
            q->keys[i] = alloc_printf("purgeline:{%s}:%s", q->account, rest[i]);
}

struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx)
{
    struct queue *q = alloc_zeroed(1, sizeof(*q));
    struct redis_address at = a ? *a : (struct redis_address){0};

    must(account[0] && owner[0]);
    q->loop = l;
    q->account = alloc_str(account);
    q->owner = alloc_str(owner);
    q->cb = *cb;
    q->ctx = ctx;
    list_init(&q->large);
    name_keys(q);
    q->entries = queue_entries_new(q);
    q->retry = timer_new(l, on_retry, q);
    at.home = q->keys[KEY_JOBS];
    q->writer = redis_new(l, a ? &at : NULL, on_writer_up, on_writer_down, q);
    q->replicated = replicated_new(q->writer, at.replicas);
    q->reader = redis_new(l, a ? &at : NULL, on_reader_up, on_reader_down, q);
    return q;
}

uint64_t queue_receipts_skipped(const struct queue *q)
{
    return q->receipts_skipped;
}

static void on_writer_closed(void *ctx)
{
    struct queue *q = ctx;
    loop_cb *closed = q->closed;
    void *closed_ctx = q->closed_ctx;

    for (int i = 0; i < KEY_N; i++)
        free(q->keys[i]);
    replicated_free(q->replicated);
    free(q->account);
    free(q->owner);
    redis_entries_free(q->entries);
    free(q);
    closed(closed_ctx);
}

static void on_reader_closed(void *ctx)
{
    struct queue *q = ctx;

    q->reader = NULL;
    redis_close(q->writer, on_writer_closed, q);
}

void queue_close(struct queue *q, loop_cb *closed, void *ctx)
{
    must(!q->closed);
    q->closed = closed;
    q->closed_ctx = ctx;
    timer_close(q->retry);
    redis_close(q->reader, on_reader_closed, q);
}
