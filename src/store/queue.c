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

/* The queue is down if it has no connection for commands or none for reading; operations on the
 * other one continue. */

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

/* -- news of the connections -- */

void queue_writer_ready(struct queue *q)
{
    look_at_lanes(q);
}

void queue_writer_down(struct queue *q, const char *why)
{
    q->writer_ready = false;
    say_down(q, why);
}

void queue_reader_ready(struct queue *q)
{
    q->reader_ready = true;
    half_ready(q);
}

void queue_reader_down(struct queue *q, const char *why)
{
    q->reader_ready = false;
    say_down(q, why);
}

static void on_retry(void *ctx)
{
    struct queue *q = ctx;

    if (q->writer->ready && !q->writer_ready)
        look_at_lanes(q);
}

/* -- creating and closing -- */

static void name_keys(struct queue *q)
{
    static const char *const rest[KEY_N] = {
        [KEY_DEAD] = "dead",           [KEY_LATER] = "later",
        [KEY_LEASE] = "lease",         [KEY_BUDGET] = "budget",
        [KEY_RECEIPT] = "receipt:",    [KEY_HISTORY] = "history",
        [KEY_CONTROL] = "control",     [KEY_STATUS] = "status",
        [KEY_SETTLED] = "settled",     [KEY_CANCELLED] = "cancelled",
        [KEY_POSTPONED] = "postponed", [KEY_POSTPONED_JOBS] = "postponed:jobs",
        [KEY_PLACES] = "places",       [KEY_INSTANCES] = "instances",
        [KEY_READS] = "reads",
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

static struct queue *make_queue(struct loop *l, const char *account, const char *owner,
                                const struct queue_callbacks *cb, void *ctx)
{
    struct queue *q = alloc_zeroed(1, sizeof(*q));

    must(account[0] && owner[0]);
    q->account = alloc_str(account);
    q->owner = alloc_str(owner);
    q->cb = *cb;
    q->ctx = ctx;
    list_init(&q->large);
    list_init(&q->calls);
    list_init(&q->writer_link);
    list_init(&q->leaving_link);
    list_init(&q->place_link);
    heap_node_init(&q->wait_until);
    name_keys(q);
    q->entries = queue_entries_new(q);
    q->retry = timer_new(l, on_retry, q);
    return q;
}

struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx)
{
    struct queue *q = make_queue(l, account, owner, cb, ctx);

    connections_join(connections_own(l, a, account, q->keys[KEY_JOBS], owner), q);
    return q;
}

struct queue *queue_new_shared(struct connections *c, const char *account, const char *owner,
                               const struct queue_callbacks *cb, void *ctx)
{
    struct queue *q = make_queue(c->loop, account, owner, cb, ctx);

    connections_join(c, q);
    return q;
}

uint64_t queue_receipts_skipped(const struct queue *q)
{
    return q->receipts_skipped;
}

uint64_t queue_history_skipped(const struct queue *q)
{
    return q->history_skipped;
}

void queue_left(struct queue *q)
{
    loop_cb *closed = q->closed;
    void *closed_ctx = q->closed_ctx;

    for (int i = 0; i < KEY_N; i++)
        free(q->keys[i]);
    free(q->account);
    free(q->owner);
    redis_entries_free(q->entries);
    free(q);
    closed(closed_ctx);
}

void queue_close(struct queue *q, loop_cb *closed, void *ctx)
{
    must(!q->closed);
    q->closed = closed;
    q->closed_ctx = ctx;
    timer_close(q->retry);
    connections_leave(q);
}
