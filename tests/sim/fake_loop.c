/* SPDX-License-Identifier: MIT */
#include "fake_loop.h"

#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "list.h"

static struct list timers;

struct timer {
    struct list link; /* of all timers */
    struct loop *loop;
    uint64_t at_ns;
    struct event *event; /* NULL: not started */
    loop_cb *cb;
    void *ctx;
};

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx)
{
    struct timer *t = alloc_zeroed(1, sizeof(*t));

    *t = (struct timer){.loop = l, .cb = cb, .ctx = ctx};
    if (!timers.next)
        list_init(&timers);
    list_push_back(&timers, &t->link);
    return t;
}

static void on_time(void *ctx)
{
    struct timer *t = ctx;

    t->event = NULL;
    t->cb(t->ctx);
}

void timer_start_at(struct timer *t, uint64_t at_ns)
{
    timer_stop(t);
    t->at_ns = at_ns;
    t->event = engine_at(at_ns, t->loop->instance, on_time, t);
}

void timer_stop(struct timer *t)
{
    engine_cancel(t->event);
    t->event = NULL;
}

void timer_close(struct timer *t)
{
    if (!t)
        return;
    timer_stop(t);
    list_remove(&t->link);
    free(t);
}

static struct timer *first_due(int instance)
{
    list_each(it, &timers) {
        struct timer *t = list_entry(it, struct timer, link);

        if (t->loop->instance == instance && t->event && t->at_ns <= engine_now_ns())
            return t;
    }
    return NULL;
}

void fake_loop_turn_dead(int instance)
{
    struct timer *t;

    for (int fired = 0; timers.next && (t = first_due(instance)); fired++) {
        must(fired < 100000);
        timer_stop(t);
        t->cb(t->ctx);
    }
}
