/* SPDX-License-Identifier: MIT
 * For tests of the sender: a sender with one endpoint, a web server to send to, and the replies. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "on_loop.h"
#include "sender.h"
#include "web.h"

#define REPLY_MAX 65536
#define TOKEN "s3cret-token"

static struct web web;

/* -- a sender with one endpoint, and the replies -- */

struct rig {
    struct loop *loop;
    struct senders *senders;
    struct endpoint *endpoint;
    struct timer *alarm;
    struct exchange **back;
    size_t back_count, wanted;
    bool closed;
};

static inline void on_back(void *ctx, struct exchange *x)
{
    struct rig *r = ctx;

    r->back = alloc_grow(r->back, r->back_count + 1, sizeof(*r->back));
    r->back[r->back_count++] = x;
    if (r->back_count == r->wanted)
        loop_stop(r->loop);
}

static inline void on_alarm(void *ctx)
{
    (void)ctx;
    must(!"an exchange never came back");
}

static inline struct endpoint_options plain_options(void)
{
    return (struct endpoint_options){.api = "",
                                     .ca_file = web.ca,
                                     .proxy = "",
                                     .proxy_ca_file = "",
                                     .proxy_auth = "",
                                     .token = TOKEN,
                                     .user_agent = "purgeline-test/1",
                                     .fault = "",
                                     .connect_timeout_ms = 60000, /* for a busy machine */
                                     .timeout_ms = 120000};
}

static inline void rig_open_with(struct rig *r, const struct endpoint_options *o, uint32_t threads,
                                 uint32_t connections, uint32_t streams)
{
    const struct senders_options so = {
        .threads = threads, .max_connections = connections, .max_streams = streams};

    *r = (struct rig){.loop = loop_new()};
    r->endpoint = endpoint_new(o);
    r->alarm = timer_new(r->loop, on_alarm, r);
    r->senders = senders_new(r->loop, &so, on_back, r);
}

static inline void rig_open(struct rig *r)
{
    struct endpoint_options o = plain_options();

    rig_open_with(r, &o, 1, 2, 100);
}

static inline void await(struct rig *r, size_t count)
{
    r->wanted = count;
    if (r->back_count >= count)
        return;
    timer_start_at(r->alarm, clock_mono_ns() + 120 * NS_PER_S);
    loop_run(r->loop);
    assert_int_equal(r->back_count, count);
}

static inline void on_closed(void *ctx)
{
    struct rig *r = ctx;

    r->closed = true;
    timer_close(r->alarm);
}

static inline void rig_shut(struct rig *r)
{
    senders_close(r->senders, on_closed, r);
    assert_false(r->closed);
    r->wanted = SIZE_MAX;
    timer_start_at(r->alarm, clock_mono_ns() + 120 * NS_PER_S);
    loop_run(r->loop);
    assert_true(r->closed);
    loop_free(r->loop);
}

static inline void rig_clean(struct rig *r)
{
    for (size_t i = 0; i < r->back_count; i++)
        exchange_free(r->back[i]);
    free(r->back);
    endpoint_drop(r->endpoint);
}

static inline void rig_close(struct rig *r)
{
    rig_shut(r);
    rig_clean(r);
}

static inline struct exchange *ask(struct rig *r, const char *scheme, uint16_t port,
                                   const char *target, const char *header)
{
    struct exchange *x = exchange_new(r->endpoint, REPLY_MAX);

    x->peer = EXCHANGE_API;
    x->show_token = true;
    buf_printf(&x->url, "%s://127.0.0.1:%u%s", scheme, port, target);
    if (header)
        buf_put(&x->header, span_str(header));
    return x;
}

static inline void send_one(struct rig *r, uint16_t port, const char *target, const char *header)
{
    senders_send(r->senders, ask(r, "https", port, target, header));
}

/* Sends a request, waits for the reply, and returns it. It is valid until the next one. */
static inline struct exchange *fetch(struct rig *r, uint16_t port, const char *target,
                                     const char *header)
{
    send_one(r, port, target, header);
    await(r, r->back_count + 1);
    return r->back[r->back_count - 1];
}

static inline size_t count_of(const struct rig *r, enum exchange_error error)
{
    size_t n = 0;

    for (size_t i = 0; i < r->back_count; i++)
        n += r->back[i]->error == error;
    return n;
}

static inline bool says(const struct exchange *x, const char *line)
{
    return x->reply.n && strstr(x->reply.p, line) != NULL;
}

static inline void assert_ok(const struct exchange *x)
{
    if (x->error != EXCHANGE_OK)
        fail_msg("error %d: %s", x->error, x->error_text);
    assert_int_equal(x->status, 200);
}

static inline void rest(unsigned ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};

    nanosleep(&pause, NULL);
}

static inline int start_web(void **state)
{
    (void)state;
    web_start(&web);
    return 0;
}

static inline int stop_web(void **state)
{
    (void)state;
    web_stop(&web);
    return 0;
}
