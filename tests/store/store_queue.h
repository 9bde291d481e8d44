/* SPDX-License-Identifier: MIT
 * A leader's queue that uses the fake Redis. */
#pragma once

#include "store_world.h"

#include "queue.h"

#define ENTRY "1700000000000-0"

struct queue_world {
    struct store_world store;
    struct queue *queue;
    unsigned ups, answers, refusals, reads;
    bool closed, leading, all;
    int err;
    struct queue_name gone;
    size_t gone_count;
};

static inline void answered(struct queue_world *w, int err)
{
    w->answers++;
    w->err = err;
    loop_stop(w->store.loop);
}

static inline void on_up(void *ctx)
{
    struct queue_world *w = ctx;

    w->ups++;
    loop_stop(w->store.loop);
}

static inline void on_down(void *ctx, const char *why)
{
    (void)ctx, (void)why;
}

static inline void on_refused(void *ctx, const struct queue_refusal *r)
{
    struct queue_world *w = ctx;

    assert_true(strlen(r->words) > 0);
    w->refusals++;
}

static inline void on_accepted(void *ctx, uint64_t question)
{
    (void)ctx, (void)question;
}

static inline int set_up(void **state)
{
    static const struct queue_callbacks cb = {on_up, on_down, on_refused, on_accepted};
    struct queue_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->queue = queue_new(w->store.loop, NULL, "main", "me", &cb, w);
    store_until(&w->store, w->ups == 1);
    *state = w;
    return 0;
}

static inline void on_closed(void *ctx)
{
    struct queue_world *w = ctx;

    w->closed = true;
    loop_stop(w->store.loop);
}

static inline int tear_down(void **state)
{
    struct queue_world *w = *state;

    queue_close(w->queue, on_closed, w);
    store_until(&w->store, w->closed);
    store_close(&w->store);
    free(w);
    return 0;
}

static inline void on_lease(void *ctx, int err, const struct queue_lease *lead)
{
    struct queue_world *w = ctx;

    w->leading = lead && lead->leading;
    w->gone_count = lead ? lead->cancelled_count : 0;
    if (w->gone_count)
        w->gone = lead->cancelled[0];
    answered(w, err);
}

static inline int lead(struct queue_world *w)
{
    struct queue_clock clock = {w->store.now_ms, w->store.now_ms};
    unsigned answers = w->answers;

    queue_lease(w->queue, 3000, NULL, SPAN("{}"), &clock, NULL, on_lease, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->err;
}

static inline void on_done(void *ctx, int err)
{
    answered(ctx, err);
}

/* Settles the job with the entry id ENTRY. */
static inline int settle(struct queue_world *w, enum outcome outcome, bool large)
{
    struct queue_settle item = {.lane = LANE_NORMAL,
                                .id = {UINT64_C(1700000000000), 0},
                                .outcome = outcome,
                                .receipt = true,
                                .large = large,
                                .targets = 1,
                                .due_ms = w->store.now_ms + 50,
                                .reason = SPAN("because"),
                                .target = SPAN("a")};
    unsigned answers = w->answers;

    queue_settle(w->queue, &item, 1, &(struct queue_keep){.receipt_ttl_s = 60}, on_done, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->err;
}

/* Waits until the queue is up again after a lost connection. */
static inline void await_up(struct queue_world *w, unsigned ups)
{
    store_until(&w->store, w->ups == ups);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
