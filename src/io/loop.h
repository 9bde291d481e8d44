/* SPDX-License-Identifier: MIT
 * An event loop with timers, signals and wake-ups. Only the files of this folder use libuv. */
#pragma once

#include "base.h"
#include "list.h"

struct loop;  /* belongs to one thread */
struct timer; /* fires once per start */
struct watch; /* a signal */

typedef void loop_cb(void *ctx);
typedef void loop_signal_cb(void *ctx, int signum);

struct loop *loop_new(void);
void loop_run(struct loop *l);  /* returns when nothing is open any more */
void loop_free(struct loop *l); /* must have nothing open: run it until it returns first */
void *loop_uv(struct loop *l);  /* the uv_loop_t, for io's other files */

struct timer *timer_new(struct loop *l, loop_cb *cb, void *ctx);
/* Fires at the monotonic time `at_ns` (once; replaces an earlier start). Never early; up to 1 ms
 * late. A time in the past means the next turn. */
void timer_start_at(struct timer *t, uint64_t at_ns);
void timer_stop(struct timer *t);
void timer_close(struct timer *t); /* also from its own callback; NULL is fine */

/* Something that is done once before the loop sleeps: what has been gathered in a turn is sent
 * together. Belongs to its owner, who may take it back with list_remove(&x->link). */
struct loop_last {
    struct list link;
    loop_cb *cb;
    void *ctx;
};

/* Those that are asked for first are done first. Asking again before it is done changes nothing. It
 * does not keep the loop from ending. */
void loop_before_sleep(struct loop *l, struct loop_last *x);

struct watch *watch_signal(struct loop *l, int signum, loop_signal_cb *cb, void *ctx);
void watch_close(struct watch *w); /* NULL is fine */
