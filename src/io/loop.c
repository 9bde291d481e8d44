/* SPDX-License-Identifier: MIT
 *
 * Timers stand on timerfd, not on uv_timer_t: those count whole milliseconds on a clock that is
 * read once per turn, so they are up to 2 ms late, and one that is started with 0 ms from its own
 * callback never lets the sockets have their turn (libuv < 1.45). A timerfd with an absolute
 * CLOCK_MONOTONIC time is never early, late by microseconds, and comes through the poll like any
 * other event.
 *
 * Most starts say "now" or move the time back, thousands of times a second. "Now" is the end of
 * this turn, after the sockets, and costs no system call; for a later time than the timerfd's
 * nothing is done until that expires. */
#include "loop.h"

#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <stdlib.h>

#include "alloc.h"
#include "clock.h"

struct loop {
    uv_loop_t uv;
};

struct timer {
    uv_poll_t poll;  /* of the timerfd */
    uv_check_t turn; /* started: at_ns is 0, due at the end of this turn */
    uv_idle_t awake; /* started with it: the loop shall not sleep */
    int fd;
    uint64_t fd_ns;   /* when it expires; NEVER: not armed */
    uint64_t at_ns;   /* NEVER: not started */
    uint32_t handles; /* not closed yet */
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

void loop_free(struct loop *l)
{
    int err = l ? uv_loop_close(&l->uv) : 0;

    must(err == 0);
    free(l);
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}

static void arm(struct timer *t, uint64_t at_ns)
{
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)}};
    int err = timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &at, NULL);

    must(err == 0);
    t->fd_ns = at_ns;
}

static void fire(struct timer *t)
{
    timer_stop(t);
    t->cb(t->ctx);
}

/* Armed anew after the poll saw it: then there is nothing to read, and nothing is due. */
static void on_expired(uv_poll_t *poll, int status, int events)
{
    struct timer *t = poll->data;
    uint64_t times;

    (void)status;
    (void)events;
    if (read(t->fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
        return;
    t->fd_ns = NEVER;
    if (t->at_ns == 0 || t->at_ns == NEVER)
        return;
    if (clock_mono_ns() < t->at_ns)
        arm(t, t->at_ns);
    else
        fire(t);
}

static void on_turn(uv_check_t *turn)
{
    fire(turn->data);
}

static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx)
{
    struct timer *t = alloc_zeroed(1, sizeof(*t));
    int err;

    t->cb = cb;
    t->ctx = ctx;
    t->at_ns = t->fd_ns = NEVER;
    t->handles = 3;
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    must(t->fd >= 0);
    err = uv_poll_init(&l->uv, &t->poll, t->fd);
    must(err == 0);
    uv_check_init(&l->uv, &t->turn);
    uv_idle_init(&l->uv, &t->awake);
    t->poll.data = t->turn.data = t->awake.data = t;
    err = uv_poll_start(&t->poll, UV_READABLE, on_expired);
    must(err == 0);
    return t;
}

void timer_start_at(struct timer *t, uint64_t at_ns)
{
    if (at_ns == t->at_ns)
        return;
    t->at_ns = at_ns;
    if (at_ns == 0) {
        uv_check_start(&t->turn, on_turn);
        uv_idle_start(&t->awake, on_awake);
        return;
    }
    uv_check_stop(&t->turn);
    uv_idle_stop(&t->awake);
    if (at_ns < t->fd_ns)
        arm(t, at_ns);
}

void timer_stop(struct timer *t)
{
    timer_start_at(t, NEVER);
}

static void timer_closed(uv_handle_t *handle)
{
    struct timer *t = handle->data;

    if (--t->handles > 0)
        return;
    close(t->fd);
    free(t);
}

void timer_close(struct timer *t)
{
    if (!t)
        return;
    uv_close((uv_handle_t *)&t->poll, timer_closed);
    uv_close((uv_handle_t *)&t->turn, timer_closed);
    uv_close((uv_handle_t *)&t->awake, timer_closed);
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
