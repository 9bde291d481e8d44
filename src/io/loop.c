/* SPDX-License-Identifier: MIT
 *
 * Timers stand on timerfd, not on uv_timer_t: those count whole milliseconds on a clock that is
 * read once per turn, so they are up to 2 ms late, and one that is started with 0 ms from its own
 * callback never lets the sockets have their turn (libuv < 1.45). A timerfd with an absolute
 * CLOCK_MONOTONIC time is never early, late by microseconds, and comes through the poll like any
 * other event. */
#include "loop.h"

#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <stdlib.h>

#include "alloc.h"

struct loop {
    uv_loop_t uv;
};

struct timer {
    uv_poll_t poll;
    int fd;
    uint64_t at_ns; /* NEVER: not started */
    loop_cb *cb;
    void *ctx;
};

struct watch {
    uv_signal_t signal;
    loop_signal_cb *cb;
    void *ctx;
};

struct loop *loop_new(void)
{
    struct loop *l = alloc_zeroed(1, sizeof(*l));
    int err = uv_loop_init(&l->uv);

    must(err == 0);
    return l;
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

void loop_free(struct loop *l)
{
    int err = uv_loop_close(&l->uv);

    must(err == 0);
    free(l);
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}

/* at_ns 0 would disarm, so "now" is 1. */
static void arm(struct timer *t, uint64_t at_ns)
{
    struct itimerspec at = {0};
    int err;

    t->at_ns = at_ns;
    if (at_ns != NEVER) {
        at_ns = max_u64(at_ns, 1);
        at.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
    }
    err = timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &at, NULL);
    must(err == 0);
}

/* Started anew or stopped after the poll saw it: then there is nothing to read, and nothing is due.
 */
static void on_expired(uv_poll_t *poll, int status, int events)
{
    struct timer *t = poll->data;
    uint64_t times;

    (void)status;
    (void)events;
    if (read(t->fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
        return;
    t->at_ns = NEVER;
    t->cb(t->ctx);
}

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx)
{
    struct timer *t = alloc_zeroed(1, sizeof(*t));
    int err;

    t->cb = cb;
    t->ctx = ctx;
    t->at_ns = NEVER;
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    must(t->fd >= 0);
    err = uv_poll_init(&l->uv, &t->poll, t->fd);
    must(err == 0);
    t->poll.data = t;
    err = uv_poll_start(&t->poll, UV_READABLE, on_expired);
    must(err == 0);
    return t;
}

void timer_start_at(struct timer *t, uint64_t at_ns)
{
    if (at_ns != t->at_ns)
        arm(t, at_ns);
}

void timer_stop(struct timer *t)
{
    timer_start_at(t, NEVER);
}

static void timer_closed(uv_handle_t *handle)
{
    struct timer *t = handle->data;

    close(t->fd);
    free(t);
}

void timer_close(struct timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->poll, timer_closed);
}

static void on_signal(uv_signal_t *signal, int signum)
{
    struct watch *w = signal->data;

    w->cb(w->ctx, signum);
}

struct watch *watch_signal(struct loop *l, int signum, loop_signal_cb *cb, void *ctx)
{
    struct watch *w = alloc_zeroed(1, sizeof(*w));
    int err = uv_signal_init(&l->uv, &w->signal);

    must(err == 0);
    w->cb = cb;
    w->ctx = ctx;
    w->signal.data = w;
    err = uv_signal_start(&w->signal, on_signal, signum);
    must(err == 0);
    return w;
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void watch_close(struct watch *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->signal, watch_closed);
}
