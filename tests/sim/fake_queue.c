/* SPDX-License-Identifier: MIT */
#include "fake_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_op.h"
#include "fault.h"
#include "instance.h"

/* An operation on its way:
 *
 *   called ──latency──▶ arrives: done, all at once ──latency──▶ answered
 *              └── lost ──────────────────└── lost ───▶ -ENOTCONN
 */

#define RECONNECT_NS (100 * NS_PER_MS)

static struct list queues;

void fake_queue_begin(void)
{
    list_init(&queues);
}

/* -- connecting -- */

static void connect_soon(struct queue *q, uint64_t delay_ns);

static void on_connected(void *ctx)
{
    struct queue *q = ctx;

    q->connecting = NULL;
    if (fake_redis_weather.away) {
        connect_soon(q, RECONNECT_NS);
        if (!q->said_down)
            q->cb.down(q->ctx, "connection refused");
        q->said_down = true;
        return;
    }
    q->up = true;
    q->said_down = false;
    q->cb.up(q->ctx);
}

static void connect_soon(struct queue *q, uint64_t delay_ns)
{
    q->connecting = engine_at(engine_now_ns() + delay_ns, q->instance, on_connected, q);
}

/* -- breaking -- */

static void answer(struct op *op, int err)
{
    list_remove(&op->link);
    op_answer(op, err);
    op_free(op);
}

static void answer_all(struct queue *q, int err)
{
    while (!list_empty(&q->ops)) {
        struct op *op = list_first(&q->ops, struct op, link);

        engine_cancel(op->event);
        op->event = NULL;
        if (op->waiter)
            waiter_drop(op->waiter);
        op->waiter = NULL;
        answer(op, err);
    }
}

static void on_broken(void *ctx)
{
    struct queue *q = ctx;

    q->breaking = NULL;
    answer_all(q, -ENOTCONN);
    if (q->closing)
        return;
    if (!q->said_down)
        q->cb.down(q->ctx, q->why);
    q->said_down = true;
    if (!q->connecting)
        connect_soon(q, RECONNECT_NS);
}

/* Those that were on their way when the connection broke: some arrive all the same. */
static void strand(struct op *op)
{
    bool on_its_way = op->event && !op->done;

    engine_cancel(op->event);
    op->event = NULL;
    if (on_its_way && op->fault == FAULT_NONE && rng_below(engine_rng(), 2))
        op_perform(op);
    op->done = true;
    if (op->waiter)
        waiter_drop(op->waiter);
    op->waiter = NULL;
}

void fake_queue_break(struct queue *q, const char *why)
{
    if (!q->up || q->closing)
        return;
    trace("redis: a connection of %s breaks: %s", instance_name(q->instance), why);
    q->up = false;
    snprintf(q->why, sizeof(q->why), "%s", why);
    list_each(it, &q->ops)
        strand(list_entry(it, struct op, link));
    q->breaking = engine_at(engine_now_ns(), q->instance, on_broken, q);
}

void fake_queue_break_all(const char *why)
{
    list_each(it, &queues)
        fake_queue_break(list_entry(it, struct queue, link), why);
}

/* -- an operation's way -- */

static void on_reply(void *ctx)
{
    struct op *op = ctx;

    op->event = NULL;
    answer(op, op->err);
}

void fake_queue_reply(struct op *op)
{
    struct queue *q = op->q;
    uint64_t at = max_u64(engine_now_ns() + fake_redis_delay(), q->reply_ns[op->on_reader]);

    op->done = true;
    q->reply_ns[op->on_reader] = at;
    op->event = engine_at(at, q->instance, on_reply, op);
}

static void on_arrival(void *ctx)
{
    struct op *op = ctx;
    enum fault fault = op->fault;
    struct queue *q = op->q;

    op->event = NULL;
    trace_detail("redis: %s of %s arrives", op_names[op->kind], instance_name(q->instance));
    if (fault == FAULT_LOST_BEFORE) {
        fake_queue_break(q, "reset");
        return;
    }
    op_perform(op);
    if (fault == FAULT_LOST_AFTER)
        fake_queue_break(q, "reset");
    else if (fault == FAULT_KILL_AFTER)
        instance_kill(q->instance);
    else if (!op->waiter)
        fake_queue_reply(op);
}

static void on_refused(void *ctx)
{
    struct op *op = ctx;

    op->event = NULL;
    answer(op, -ENOTCONN);
}

void fake_queue_send(struct op *op)
{
    struct queue *q = op->q;
    uint64_t at;

    list_push_back(&q->ops, &op->link);
    if (q->dead || instance_doomed(q->instance))
        return;
    /* A look at the keys changes nothing, and is not counted: what a story loses is a question. */
    op->fault = op->kind == OP_EXAMINE ? FAULT_NONE : fault_next(IO_REDIS);
    if (op->fault == FAULT_KILL_BEFORE) {
        instance_kill(q->instance);
        return;
    }
    if (!q->up) {
        op->event = engine_at(engine_now_ns(), q->instance, on_refused, op);
        return;
    }
    at = max_u64(engine_now_ns() + fake_redis_delay(), q->arrive_ns[op->on_reader]);
    q->arrive_ns[op->on_reader] = at;
    op->event = engine_at(at, ENGINE_NOBODY, on_arrival, op);
}

/* -- from beginning to end -- */

struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx)
{
    struct queue *q = alloc_zeroed(1, sizeof(*q));

    (void)l, (void)a;
    q->account = fake_redis_account(account);
    snprintf(q->owner, sizeof(q->owner), "%s", owner);
    q->cb = *cb;
    q->ctx = ctx;
    q->instance = instance_of_identity(owner);
    list_init(&q->ops);
    list_push_back(&queues, &q->link);
    connect_soon(q, 0);
    return q;
}

static void finish_close(struct queue *q)
{
    loop_cb *closed = q->closed;
    void *ctx = q->closed_ctx;

    answer_all(q, -ENOTCONN);
    list_remove(&q->link);
    free(q);
    closed(ctx);
}

static void on_close(void *ctx)
{
    finish_close(ctx);
}

void queue_close(struct queue *q, loop_cb *closed, void *ctx)
{
    must(!q->closing);
    q->closing = true;
    q->up = false;
    q->closed = closed;
    q->closed_ctx = ctx;
    engine_cancel(q->connecting);
    engine_cancel(q->breaking);
    q->connecting = q->breaking = NULL;
    if (!q->dead)
        engine_at(engine_now_ns(), q->instance, on_close, q);
}

uint64_t queue_receipts_skipped(const struct queue *q)
{
    return q->receipts_skipped;
}

/* -- the dead -- */

/* What had left a killed process arrives. */
static void outlive(struct op *op)
{
    bool on_its_way = op->event && !op->done && op->q->up;

    engine_cancel(op->event);
    op->event = NULL;
    if (on_its_way && op->fault == FAULT_NONE)
        op_perform(op);
    op->done = true;
    if (op->waiter)
        waiter_drop(op->waiter);
    op->waiter = NULL;
}

void fake_queue_bury(int owner)
{
    list_each(it, &queues) {
        struct queue *q = list_entry(it, struct queue, link);

        if (q->instance != owner || q->dead)
            continue;
        list_each(op, &q->ops)
            outlive(list_entry(op, struct op, link));
        engine_cancel(q->connecting);
        engine_cancel(q->breaking);
        q->connecting = q->breaking = NULL;
        q->dead = true;
        q->up = false;
        if (!q->said_down && !q->closing)
            q->cb.down(q->ctx, "killed");
        q->said_down = true;
    }
}

bool fake_queue_answer_dead(int owner)
{
    bool any = false;

    list_each_safe(it, next, &queues) {
        struct queue *q = list_entry(it, struct queue, link);

        if (q->instance != owner || !q->dead)
            continue;
        any = any || q->closing || !list_empty(&q->ops);
        if (q->closing)
            finish_close(q);
        else
            answer_all(q, -ENOTCONN);
    }
    return any;
}
