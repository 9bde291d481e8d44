/* SPDX-License-Identifier: MIT
 *
 * Timers use a timerfd instead of uv_timer_t. A uv_timer_t counts whole milliseconds on a clock
 * that is read once per turn, so it is up to 2 ms late, and one that is started with 0 ms from its
 * own callback starves the sockets (libuv < 1.45). A timerfd with an absolute CLOCK_MONOTONIC time
 * is never early, late only by microseconds, and is polled like any other descriptor. All timers of
 * a loop share one timerfd, so creating a timer cannot fail when clients have used up all
 * descriptors.
 *
 * Most starts are for "now" or postpone a timer, thousands of times a second. "Now" means the end
 * of this turn, after the sockets, and needs no system call. A time later than the timerfd's needs
 * none either: the timerfd is set again only when it expires. */
#include "loop.h"

#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "heap.h"
#include "list.h"

struct loop {
    uv_loop_t uv;
    uv_poll_t poll;     /* polls the timerfd; keeps the loop alive while there are timers */
    uv_check_t turn;    /* started while `soon` is not empty */
    uv_idle_t awake;    /* started together with `turn`, so that the loop does not sleep */
    int fd;             /* the timerfd */
    uint64_t fd_ns;     /* when it expires; NEVER: not armed */
    struct heap later;  /* timers ordered by time */
    struct list soon;   /* timers that are due at the end of this turn */
    uv_prepare_t sleep; /* started while `last` is not empty */
    struct list last;
    uint32_t timers; /* number of timers not closed yet */
};

struct timer {
    struct heap_node later; /* in the loop's heap `later` */
    struct list soon;       /* in the loop's list `soon`, or in a list of timers firing now */
    struct loop *loop;
    uint64_t at_ns; /* 0: soon; NEVER: not started */
    loop_cb *cb;
    void *ctx;
};

struct watch {
    uv_signal_t signal;
    loop_signal_cb *cb;
    void *ctx;
};

static void on_expired(uv_poll_t *poll, int status, int events);

static void open_timers(struct loop *l)
{
    int err;

    heap_init(&l->later);
    list_init(&l->soon);
    l->fd_ns = NEVER;
    l->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    must(l->fd >= 0);
    err = uv_poll_init(&l->uv, &l->poll, l->fd);
    must(err == 0);
    uv_check_init(&l->uv, &l->turn);
    uv_idle_init(&l->uv, &l->awake);
    uv_prepare_init(&l->uv, &l->sleep);
    list_init(&l->last);
    l->poll.data = l->turn.data = l->sleep.data = l;
    err = uv_poll_start(&l->poll, UV_READABLE, on_expired);
    must(err == 0);
    uv_unref((uv_handle_t *)&l->poll);
    uv_unref((uv_handle_t *)&l->turn);
    uv_unref((uv_handle_t *)&l->awake);
    uv_unref((uv_handle_t *)&l->sleep);
}

struct loop *loop_new(void)
{
    struct loop *l = alloc_zeroed(1, sizeof(*l));
    int err = uv_loop_init(&l->uv);

    must(err == 0);
    open_timers(l);
    return l;
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_free(struct loop *l)
{
    int err;

    if (!l)
        return;
    must(l->timers == 0);
    uv_close((uv_handle_t *)&l->poll, NULL);
    uv_close((uv_handle_t *)&l->turn, NULL);
    uv_close((uv_handle_t *)&l->awake, NULL);
    uv_close((uv_handle_t *)&l->sleep, NULL);
    uv_run(&l->uv, UV_RUN_NOWAIT);
    err = uv_loop_close(&l->uv);
    must(err == 0);
    close(l->fd);
    heap_deinit(&l->later);
    free(l);
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}

/* -- timers -- */

static void arm(struct loop *l)
{
    struct heap_node *first = heap_min(&l->later);
    struct itimerspec at = {0};
    int err;

    if (!first || first->key >= l->fd_ns)
        return;
    l->fd_ns = first->key;
    at.it_value.tv_sec = (time_t)(l->fd_ns / NS_PER_S);
    at.it_value.tv_nsec = (long)(l->fd_ns % NS_PER_S);
    err = timerfd_settime(l->fd, TFD_TIMER_ABSTIME, &at, NULL);
    must(err == 0);
}

/* A callback may stop or close other timers that are due; they then leave the list. */
static void fire_all(struct list *due)
{
    struct list *node;

    while ((node = list_pop_front(due))) {
        struct timer *t = list_entry(node, struct timer, soon);

        t->at_ns = NEVER;
        t->cb(t->ctx);
    }
}

/* If the timerfd was set again after the poll reported it, the read fails and nothing is due. */
static void on_expired(uv_poll_t *poll, int status, int events)
{
    struct loop *l = poll->data;
    struct heap_node *first;
    struct list due;
    uint64_t times, now_ns;

    (void)status;
    (void)events;
    if (read(l->fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
        return;
    l->fd_ns = NEVER;
    now_ns = clock_mono_ns();
    list_init(&due);
    while ((first = heap_min(&l->later)) && first->key <= now_ns) {
        heap_remove(&l->later, first);
        list_push_back(&due, &container_of(first, struct timer, later)->soon);
    }
    fire_all(&due);
    arm(l);
}

static void on_turn(uv_check_t *turn)
{
    struct loop *l = turn->data;
    struct list due;

    list_init(&due);
    list_splice_back(&due, &l->soon);
    fire_all(&due);
    if (!list_empty(&l->soon))
        return;
    uv_check_stop(&l->turn);
    uv_idle_stop(&l->awake);
}

static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx)
{
    struct timer *t = alloc_zeroed(1, sizeof(*t));

    heap_node_init(&t->later);
    list_init(&t->soon);
    t->loop = l;
    t->at_ns = NEVER;
    t->cb = cb;
    t->ctx = ctx;
    if (l->timers++ == 0)
        uv_ref((uv_handle_t *)&l->poll);
    return t;
}

void timer_start_at(struct timer *t, uint64_t at_ns)
{
    struct loop *l = t->loop;

    if (at_ns == t->at_ns)
        return;
    heap_remove(&l->later, &t->later);
    list_remove(&t->soon);
    t->at_ns = at_ns;
    if (at_ns == 0) {
        list_push_back(&l->soon, &t->soon);
        uv_check_start(&l->turn, on_turn);
        uv_idle_start(&l->awake, on_awake);
    } else if (at_ns != NEVER) {
        heap_insert(&l->later, &t->later, at_ns);
        arm(l);
    }
}

void timer_stop(struct timer *t)
{
    timer_start_at(t, NEVER);
}

void timer_close(struct timer *t)
{
    struct loop *l;

    if (!t)
        return;
    l = t->loop;
    timer_stop(t);
    free(t);
    if (--l->timers == 0)
        uv_unref((uv_handle_t *)&l->poll);
}

/* -- before the loop sleeps -- */

/* libuv itself would call what was started last first. */
static void on_sleep(uv_prepare_t *sleep)
{
    struct loop *l = sleep->data;
    struct list *node;

    while ((node = list_pop_front(&l->last))) {
        struct loop_last *x = list_entry(node, struct loop_last, link);

        x->cb(x->ctx);
    }
    uv_prepare_stop(&l->sleep);
}

void loop_before_sleep(struct loop *l, struct loop_last *x)
{
    if (!list_empty(&x->link))
        return;
    list_push_back(&l->last, &x->link);
    uv_prepare_start(&l->sleep, on_sleep);
}

/* -- signals -- */

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
