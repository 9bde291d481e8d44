/* SPDX-License-Identifier: MIT
 * A connection to a real Redis, on its own loop, with a record of its events. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "on_loop.h"
#include "redis.h"
#include "redis_server.h"

struct world {
    struct redis_server *server;
    struct loop *loop;
    struct redis *r;
    struct timer *patience;
    int ups, downs, replies, nulls;
    bool closed;
    char why[256], text[256];
    long long number;
};

static inline void on_up(void *ctx)
{
    struct world *w = ctx;

    w->ups++;
    loop_stop(w->loop);
}

static inline void on_down(void *ctx, const char *why)
{
    struct world *w = ctx;

    w->downs++;
    snprintf(w->why, sizeof(w->why), "%s", why);
    loop_stop(w->loop);
}

static inline void on_reply(void *ctx, struct redisReply *reply)
{
    struct world *w = ctx;

    w->replies++;
    w->nulls += reply == NULL;
    w->number = reply ? reply->integer : -1;
    snprintf(w->text, sizeof(w->text), "%s", reply && reply->str ? reply->str : "");
    loop_stop(w->loop);
}

static inline void on_closed(void *ctx)
{
    struct world *w = ctx;

    w->closed = true;
}

static inline void on_pause_over(void *ctx)
{
    struct world *w = ctx;

    loop_stop(w->loop);
}

/* Runs the loop for `ms`, to check that something does not happen. */
static inline void run_for(struct world *w, uint64_t ms)
{
    struct timer *t = timer_new(w->loop, on_pause_over, w);
    uint64_t until = clock_mono_ns() + ms * NS_PER_MS;

    timer_start_at(t, until);
    while (clock_mono_ns() < until)
        loop_run(w->loop);
    timer_close(t);
}

static inline void open_world(struct world *w, const char *url)
{
    struct redis_address a;
    struct error err;

    if (redis_address_parse(url, &a, &err) < 0)
        fail_msg("%s", err.text);
    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->r = redis_new(w->loop, &a, on_up, on_down, w);
    redis_address_deinit(&a);
}

static inline void close_world(struct world *w)
{
    if (!w->closed)
        redis_close(w->r, on_closed, w);
    timer_close(w->patience);
    loop_run(w->loop);
    assert_true(w->closed);
    loop_free(w->loop);
    redis_server_stop(w->server);
}

static inline void command(struct world *w, const char *word, const char *arg)
{
    struct span argv[] = {span_str(word), span_str(arg)};

    redis_command(w->r, arg ? 2 : 1, argv, on_reply, w);
}
