/* SPDX-License-Identifier: MIT */
#include "fake_loop.h"

#include <stdlib.h>

#include "alloc.h"
#include "engine.h"

struct timer {
    struct loop *loop;
    struct event *event; /* NULL: not started */
    loop_cb *cb;
    void *ctx;
};

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx)
{
    struct timer *t = alloc_zeroed(1, sizeof(*t));

    *t = (struct timer){.loop = l, .cb = cb, .ctx = ctx};
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
    t->event = engine_at(at_ns, t->loop->instance, on_time, t);
}

void timer_stop(struct timer *t)
{
    engine_cancel(t->event);
    t->event = NULL;
}

void timer_close(struct timer *t)
{
    if (t)
        timer_stop(t);
    free(t);
}
