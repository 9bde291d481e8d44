/* SPDX-License-Identifier: MIT */
#include "redis.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "fakeio_internal.h"
#include "list.h"
#include "reply.h"

#define RECONNECT_NS (5 * NS_PER_MS)

struct call {
    struct list link;
    redis_reply_cb *cb;
    void *ctx;
    bool lost; /* sent while there was no connection */
    size_t argc;
    struct span *argv; /* a copy; the words are in the same block of memory */
};

struct reading { /* a redis_stream in progress */
    const struct redis_sink *sink;
    void *ctx;
    uint64_t until_ns; /* until then it waits for an answer that is not nil */
    size_t argc;
    struct span *argv;
};

struct subscription {
    struct list link;
    struct redis *r;
    size_t channel_n;
    char channel[200];
    redis_message_cb *cb;
    void *ctx;
};

struct message {
    struct list link;
    struct subscription *to;
    size_t n;
    char text[];
};

struct redis {
    struct loop *loop;
    redis_up_cb *up;
    redis_down_cb *down;
    void *ctx;
    struct fakeredis_session *session; /* NULL: not connected */
    struct list calls, messages;
    struct reading *reading;
    struct list subscriptions;
    struct timer *turn, *later;
    bool said_down;
    loop_cb *closed;
    void *closed_ctx;
};

static void turn_soon(struct redis *r)
{
    timer_start_at(r->turn, 0);
}

static struct span *copy_arguments(size_t argc, const struct span *argv)
{
    size_t bytes = argc * sizeof(*argv);
    struct span *copy;
    char *at;

    for (size_t i = 0; i < argc; i++)
        bytes += argv[i].n;
    copy = alloc_bytes(bytes);
    at = (char *)(copy + argc);
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n)
            memcpy(at, argv[i].p, argv[i].n);
        copy[i] = span_of(at, argv[i].n);
        at += argv[i].n;
    }
    return copy;
}

/* -- connecting and disconnecting -- */

static void on_message(void *ctx, struct span channel, struct span text)
{
    struct redis *r = ctx;

    list_each(node, &r->subscriptions) {
        struct subscription *s = list_entry(node, struct subscription, link);
        struct message *m;

        if (!span_eq(channel, span_of(s->channel, s->channel_n)))
            continue;
        m = alloc_bytes(sizeof(*m) + text.n);
        m->to = s;
        m->n = text.n;
        if (text.n)
            memcpy(m->text, text.p, text.n);
        list_push_back(&r->messages, &m->link);
    }
    turn_soon(r);
}

static void on_changed(void *ctx)
{
    struct redis *r = ctx;

    if (r->reading)
        turn_soon(r);
}

static void say_down(struct redis *r, const char *why)
{
    if (!r->said_down)
        r->down(r->ctx, why);
    r->said_down = true;
}

static void end_reading(struct redis *r, int err)
{
    struct reading *reading = r->reading;

    r->reading = NULL;
    reading->sink->done(reading->ctx, err);
    free(reading->argv);
    free(reading);
}

static void forget_messages(struct redis *r)
{
    struct list *node;

    while ((node = list_pop_front(&r->messages)))
        free(list_entry(node, struct message, link));
}

static void disconnect(struct redis *r)
{
    struct list *node;

    if (r->session)
        fakeredis_close(r->session);
    r->session = NULL;
    list_each(each, &r->calls)
        list_entry(each, struct call, link)->lost = true;
    forget_messages(r);
    if (r->reading)
        end_reading(r, -ENOTCONN);
    while ((node = list_pop_front(&r->subscriptions))) {
        struct subscription *s = list_entry(node, struct subscription, link);

        s->cb(s->ctx, NULL);
        free(s);
    }
}

static void lose(struct redis *r, const char *why)
{
    disconnect(r);
    turn_soon(r); /* for calls that are lost with the connection */
    timer_start_at(r->later, clock_mono_ns() + RECONNECT_NS);
    say_down(r, why);
}

static void connect_again(struct redis *r)
{
    if (!fakeio_server()) {
        timer_start_at(r->later, clock_mono_ns() + RECONNECT_NS);
        say_down(r, "Connection refused");
        return;
    }
    r->session = fakeredis_open(fakeio_server(), on_message, on_changed, r);
    r->said_down = false;
    r->up(r->ctx);
}

/* -- what happens in a turn -- */

static void answer(struct redis *r, struct call *c)
{
    struct redisReply *reply = NULL;
    struct buf out;

    buf_init(&out, (size_t)1 << 30);
    if (!c->lost && !r->closed) {
        if (!r->session || !fakeio_run(r->session, c->argc, c->argv, &out))
            lose(r, "connection closed");
        else if (out.p[0] == '-' && fakeio_is_unfit(out.p + 1))
            lose(r, out.p + 1);
        else
            reply = fakeio_reply(&out);
    }
    c->cb(c->ctx, reply);
    if (reply)
        freeReplyObject(reply);
    buf_deinit(&out);
    free(c->argv);
    free(c);
}

/* Answers the calls that are present now. Calls made by their callbacks are answered in the next
 * turn. */
static void answer_calls(struct redis *r)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &r->calls);
    while ((node = list_pop_front(&now))) {
        struct call *c = list_entry(node, struct call, link);

        c->lost |= !r->session;
        answer(r, c);
    }
}

static void tell_messages(struct redis *r)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &r->messages);
    while ((node = list_pop_front(&now))) {
        struct message *m = list_entry(node, struct message, link);
        struct span text = span_of(m->text, m->n);

        m->to->cb(m->to->ctx, &text);
        free(m);
    }
}

/* Returns 1 if the answer is complete, 0 if more is needed, and a negative value if it is invalid.
 */
static int pour(const struct reading *reading, struct span answer_bytes)
{
    int rc = 0;

    while (rc == 0 && answer_bytes.n) {
        size_t n;
        char *at = reading->sink->room(reading->ctx, &n);

        n = (size_t)min_u64(n, answer_bytes.n);
        memcpy(at, answer_bytes.p, n);
        answer_bytes = span_of(answer_bytes.p + n, answer_bytes.n - n);
        rc = reading->sink->took(reading->ctx, n);
    }
    return rc;
}

static void read_on(struct redis *r)
{
    struct reading *reading = r->reading;
    struct buf out;
    const char *refusal;

    buf_init(&out, (size_t)1 << 40);
    if (!fakeio_run(r->session, reading->argc, reading->argv, &out)) {
        lose(r, "connection closed");
    } else if (span_is(buf_span(&out), "*-1\r\n") && clock_mono_ns() < reading->until_ns) {
        timer_start_at(r->later, reading->until_ns);
    } else if (pour(reading, buf_span(&out)) != 1) {
        lose(r, "a reply that cannot be understood");
    } else {
        refusal = reading->sink->error(reading->ctx);
        if (refusal && fakeio_is_unfit(refusal))
            lose(r, refusal);
        else
            end_reading(r, 0);
    }
    buf_deinit(&out);
}

static void finish(struct redis *r)
{
    loop_cb *closed = r->closed;
    void *ctx = r->closed_ctx;

    timer_close(r->turn);
    timer_close(r->later);
    free(r);
    closed(ctx);
}

static void on_turn(void *ctx)
{
    struct redis *r = ctx;

    if (r->closed)
        disconnect(r);
    answer_calls(r);
    tell_messages(r);
    if (r->session && r->reading && !r->closed)
        read_on(r);
    if (r->closed && list_empty(&r->calls))
        finish(r);
    else if (!list_empty(&r->calls) || r->closed)
        turn_soon(r);
}

static void on_later(void *ctx)
{
    struct redis *r = ctx;

    if (r->closed)
        return;
    if (!r->session)
        connect_again(r);
    else if (r->reading)
        read_on(r);
}

/* -- redis.h -- */

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    struct redis *r = alloc_zeroed(1, sizeof(*r));

    (void)a;
    *r = (struct redis){.loop = l, .up = up, .down = down, .ctx = ctx};
    list_init(&r->calls);
    list_init(&r->messages);
    list_init(&r->subscriptions);
    r->turn = timer_new(l, on_turn, r);
    r->later = timer_new(l, on_later, r);
    timer_start_at(r->later, 0);
    return r;
}

bool redis_is_up(const struct redis *r)
{
    return r->session && !r->closed;
}

/* There are no timeouts here. */
/* Every command is answered in the next turn. */
uint64_t redis_silent_ns(const struct redis *r)
{
    (void)r;
    return 0;
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    must(r && ms);
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    struct call *c = alloc_zeroed(1, sizeof(*c));

    must(argc > 0 && !r->reading);
    *c = (struct call){.cb = cb, .ctx = ctx, .lost = !redis_is_up(r), .argc = argc};
    c->argv = copy_arguments(argc, argv);
    list_push_back(&r->calls, &c->link);
    turn_soon(r);
}

static void on_no_stream(void *ctx, struct redisReply *reply)
{
    struct reading *reading = ctx;

    must(!reply);
    reading->sink->done(reading->ctx, -ENOTCONN);
    free(reading->argv);
    free(reading);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    struct reading *reading = alloc_zeroed(1, sizeof(*reading));

    *reading = (struct reading){.sink = sink, .ctx = ctx, .argc = argc};
    reading->argv = copy_arguments(argc, argv);
    reading->until_ns = clock_mono_ns() + block_ms * NS_PER_MS;
    if (!redis_is_up(r)) {
        redis_command(r, 1, (const struct span[]){SPAN("PING")}, on_no_stream, reading);
        return;
    }
    must(!r->reading && list_empty(&r->calls));
    r->reading = reading;
    turn_soon(r);
}

/* A subscription on the list is told when the connection is lost; before it is on the list, this
 * function tells it. */
static void on_subscribed(void *ctx, struct redisReply *reply)
{
    struct subscription *s = ctx;
    struct span nothing = SPAN("");

    if (reply && !reply_refused(reply)) {
        list_push_back(&s->r->subscriptions, &s->link);
        s->cb(s->ctx, &nothing);
        return;
    }
    s->cb(s->ctx, NULL);
    if (reply)
        lose(s->r, reply_text(reply).p);
    free(s);
}

void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx)
{
    const struct span argv[] = {SPAN("SUBSCRIBE"), channel};
    struct subscription *s = alloc_zeroed(1, sizeof(*s));

    must(channel.n <= sizeof(s->channel));
    *s = (struct subscription){.r = r, .cb = cb, .ctx = ctx, .channel_n = channel.n};
    memcpy(s->channel, channel.p, channel.n);
    redis_command(r, array_len(argv), argv, on_subscribed, s);
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    r->closed = closed;
    r->closed_ctx = ctx;
    turn_soon(r);
}
