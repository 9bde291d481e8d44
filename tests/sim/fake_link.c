/* SPDX-License-Identifier: MIT */
#include "fake_link.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_redis.h"
#include "fakeio_internal.h"
#include "fault.h"
#include "instance.h"
#include "journal.h"
#include "redis.h"

/* A command on its way:
 *
 *   asked ──latency──▶ arrives: done, all at once ──latency──▶ answered
 *              └── lost ──────────────────└── lost ───▶ NULL
 *
 * A reply that goes to a sink as it arrives is a command like any other. XREAD with BLOCK may find
 * nothing; then it waits at Redis for an entry. */

#define RECONNECT_NS (100 * NS_PER_MS)

struct call {
    struct list link;
    struct redis *r;
    char name[FAKE_REDIS_NAME];
    enum fault fault;
    struct event *event; /* its arrival, then its answer */
    struct event *until; /* waits at Redis so long */
    bool done, waits;
    uint64_t confirms;    /* WAIT: commands that the replica will have */
    bool on_its_way_back; /* the answer: a part of it arrives even if the connection breaks */
    redis_reply_cb *cb;   /* NULL for a reply that goes to a sink */
    const struct redis_sink *sink; /* or NULL */
    void *ctx;
    uint32_t block_ms;
    size_t argc;
    struct span *argv; /* a copy, in one piece with what it leads to */
    struct buf answer;
};

struct redis {
    struct list link; /* of all connections */
    struct loop *loop;
    redis_up_cb *up;
    redis_down_cb *down;
    void *ctx;
    struct fakeredis_session *session; /* NULL: not connected */
    bool said_down, dead;
    char why[96];
    struct event *connecting, *breaking; /* the first of these two also when it closes */
    struct list calls;                   /* asked and not answered */
    uint64_t arrive_ns, reply_ns;        /* of the last one: order is kept */
    loop_cb *closed;
    void *closed_ctx;
};

static struct list links;

void fake_link_begin(void)
{
    list_init(&links);
}

/* The endpoint's, which is nobody's instance. */
static bool is_of_api(const struct redis *r)
{
    return r->loop->instance == ENGINE_NOBODY;
}

/* Its Redis is not that of most others. */
static bool is_cut_off(const struct redis *r)
{
    return fake_redis_cut_off(r->loop->instance);
}

static const char *name_of(const struct redis *r)
{
    return is_of_api(r) ? "the endpoint" : instance_name(r->loop->instance);
}

/* -- connecting -- */

static void on_connected(void *ctx);

static void connect_soon(struct redis *r, uint64_t delay_ns)
{
    r->connecting = engine_at(engine_now_ns() + delay_ns, r->loop->instance, on_connected, r);
}

static void say_down(struct redis *r, const char *why)
{
    if (!r->said_down)
        r->down(r->ctx, why);
    r->said_down = true;
}

static void on_connected(void *ctx)
{
    struct redis *r = ctx;

    r->connecting = NULL;
    if (fake_redis_weather.away && !is_cut_off(r)) {
        connect_soon(r, RECONNECT_NS);
        say_down(r, "connection refused");
        return;
    }
    r->session = fakeredis_open(fake_redis_of(r->loop->instance), NULL, NULL, NULL);
    r->said_down = false;
    r->up(r->ctx);
}

/* -- the end of a command -- */

static void call_free(struct call *c)
{
    engine_cancel(c->event);
    engine_cancel(c->until);
    buf_deinit(&c->answer);
    free(c->argv);
    free(c);
}

/* Only a part of it, when the connection broke under it. */
static int pour(const struct call *c, size_t bytes)
{
    const char *from = c->answer.p;
    int rc = 0;

    while (rc == 0 && bytes) {
        size_t n;
        char *at = c->sink->room(c->ctx, &n);

        n = (size_t)min_u64(n, bytes);
        memcpy(at, from, n);
        from += n;
        bytes -= n;
        rc = c->sink->took(c->ctx, n);
    }
    return rc;
}

enum ending { ANSWERED, LOST };

static void end_stream(struct call *c, enum ending how)
{
    bool arrives = how == LOST && c->on_its_way_back && !c->r->dead;

    if (how == ANSWERED)
        must(pour(c, c->answer.n) == 1);
    else if (arrives)
        (void)pour(c, c->answer.n / 2);
    c->sink->done(c->ctx, how == ANSWERED ? 0 : -ENOTCONN);
}

static void end(struct call *c, enum ending how)
{
    struct redisReply *reply = NULL;

    list_remove(&c->link);
    if (c->sink) {
        end_stream(c, how);
    } else {
        if (how == ANSWERED)
            reply = fakeio_reply(&c->answer);
        c->cb(c->ctx, reply);
        if (reply)
            freeReplyObject(reply);
    }
    call_free(c);
}

static void end_all(struct redis *r)
{
    while (!list_empty(&r->calls))
        end(list_first(&r->calls, struct call, link), LOST);
}

/* -- breaking -- */

static void on_broken(void *ctx)
{
    struct redis *r = ctx;

    r->breaking = NULL;
    end_all(r);
    if (r->closed)
        return;
    say_down(r, r->why);
    if (!r->connecting)
        connect_soon(r, RECONNECT_NS);
}

static void carry_out(struct call *c)
{
    enum ends_asker asker = is_of_api(c->r) ? ENDS_API : ENDS_DAEMON;

    if (is_cut_off(c->r))
        asker = is_of_api(c->r) ? ENDS_API_CUT_OFF : ENDS_DAEMON_CUT_OFF;
    c->done = true;
    buf_clear(&c->answer);
    fake_redis_run(c->r->session, c->name, asker, c->argc, c->argv, &c->answer);
}

enum luck { EACH_BY_CHANCE, ALL_ARRIVE };

/* The commands of a connection that is no more: some were on their way, and arrive all the same;
 * but none arrives when one before it did not. */
static void strand_all(struct redis *r, enum luck luck)
{
    bool arrives = r->session != NULL;

    list_each(it, &r->calls) {
        struct call *c = list_entry(it, struct call, link);

        arrives = arrives && (c->done || (c->event && c->fault == FAULT_NONE &&
                                          (luck == ALL_ARRIVE || rng_below(engine_rng(), 2))));
        engine_cancel(c->event);
        engine_cancel(c->until);
        c->event = c->until = NULL;
        if (arrives && !c->done)
            carry_out(c);
        c->done = true;
        c->waits = false;
    }
    if (r->session)
        fakeredis_close(r->session);
    r->session = NULL;
}

static void lose(struct redis *r, const char *why)
{
    if (!r->session || r->closed)
        return;
    trace("redis: a connection of %s breaks: %s", name_of(r), why);
    snprintf(r->why, sizeof(r->why), "%s", why);
    strand_all(r, EACH_BY_CHANCE);
    r->breaking = engine_at(engine_now_ns(), r->loop->instance, on_broken, r);
}

static void break_those(bool cut_off, const char *why)
{
    list_each(it, &links) {
        struct redis *r = list_entry(it, struct redis, link);

        if (is_cut_off(r) == cut_off)
            lose(r, why);
    }
}

void fake_link_break_all(const char *why)
{
    break_those(false, why);
}

void fake_link_break_cut_off(const char *why)
{
    break_those(true, why);
}

/* -- a command's way -- */

static void on_reply(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    end(c, ANSWERED);
}

static void reply(struct call *c)
{
    struct redis *r = c->r;

    c->on_its_way_back = true;
    r->reply_ns = max_u64(engine_now_ns() + fake_redis_delay(), r->reply_ns);
    c->event = engine_at(r->reply_ns, r->loop->instance, on_reply, c);
}

static bool found_nothing(const struct call *c)
{
    return c->sink && span_is(buf_span(&c->answer), "*-1\r\n");
}

static void on_waited(void *ctx)
{
    struct call *c = ctx;

    c->until = NULL;
    c->waits = false;
    reply(c);
}

static void on_replicated(void *ctx)
{
    struct call *c = ctx;

    c->until = NULL;
    fake_redis_confirm(c->confirms);
    reply(c);
}

static uint64_t wait_ns(const struct call *c)
{
    uint64_t ms = 0;

    must(c->argc == 3 && span_to_u64(c->argv[2], &ms) == 0);
    return ms * NS_PER_MS;
}

/* WAIT: the replica answers, or the time that it may take is over. What follows on the connection
 * is carried out meanwhile, which Redis would only do later. */
static void wait_for_replica(struct call *c)
{
    bool follows = fake_redis_replica_follows() && !is_cut_off(c->r);
    uint64_t delay = fake_redis_delay();

    c->done = true;
    c->confirms = follows ? journal_count() : 0;
    buf_clear(&c->answer);
    buf_printf(&c->answer, ":%d\r\n", follows);
    c->until = engine_at(engine_now_ns() + (follows ? delay : wait_ns(c)), ENGINE_NOBODY,
                         on_replicated, c);
}

static void wait_in_vain(struct call *c)
{
    c->confirms = 0;
    buf_clear(&c->answer);
    buf_printf(&c->answer, ":0\r\n");
    engine_cancel(c->until);
    c->until = engine_at(engine_now_ns() + wait_ns(c), ENGINE_NOBODY, on_replicated, c);
}

void fake_link_replica_is_gone(void)
{
    list_each(it, &links) {
        struct redis *r = list_entry(it, struct redis, link);

        list_each(at, &r->calls) {
            struct call *c = list_entry(at, struct call, link);

            if (is_cut_off(r) && c->confirms && c->until)
                wait_in_vain(c);
        }
    }
}

static void arrive(struct call *c)
{
    if (strcmp(c->name, "WAIT") == 0) {
        wait_for_replica(c);
        return;
    }
    carry_out(c);
    if (c->fault == FAULT_LOST_AFTER) {
        c->on_its_way_back = true;
        lose(c->r, "reset");
    } else if (c->fault == FAULT_KILL_AFTER) {
        instance_kill(c->r->loop->instance);
    } else if (c->block_ms && found_nothing(c)) {
        c->waits = true;
        c->until =
            engine_at(engine_now_ns() + c->block_ms * NS_PER_MS, ENGINE_NOBODY, on_waited, c);
    } else {
        reply(c);
    }
}

static void on_arrival(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    trace_detail("redis: %s of %s arrives", c->name, name_of(c->r));
    if (c->fault == FAULT_LOST_BEFORE)
        lose(c->r, "reset");
    else
        arrive(c);
}

/* An entry has come. */
static void on_found(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    carry_out(c);
    if (found_nothing(c))
        return;
    engine_cancel(c->until);
    c->until = NULL;
    c->waits = false;
    reply(c);
}

static bool reads(const struct call *c, struct span key)
{
    for (size_t i = 0; i < c->argc; i++)
        if (span_eq(c->argv[i], key))
            return true;
    return false;
}

void fake_link_added(struct span key)
{
    list_each(it, &links) {
        list_each(at, &list_entry(it, struct redis, link)->calls) {
            struct call *c = list_entry(at, struct call, link);

            if (c->waits && !c->event && reads(c, key))
                c->event = engine_at(engine_now_ns(), ENGINE_NOBODY, on_found, c);
        }
    }
}

static void on_unasked(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    end(c, LOST);
}

/* Setting a connection up, and looking for broken keys, changes nothing, and is not counted: what a
 * story loses, and torture, is a question about jobs. A WAIT is part of the question before it. */
static bool is_counted(const struct call *c)
{
    return !span_is(c->argv[0], "CLIENT") && !span_is(c->argv[0], "SCRIPT") &&
           !span_is(c->argv[0], "CONFIG") && !span_is(c->argv[0], "WAIT") &&
           strcmp(c->name, "examine") != 0;
}

static void send(struct call *c)
{
    struct redis *r = c->r;

    list_push_back(&r->calls, &c->link);
    if (r->dead || r->closed || (!is_of_api(r) && instance_doomed(r->loop->instance)))
        return;
    if (is_counted(c))
        c->fault = fault_next(is_of_api(r) ? IO_API : IO_REDIS);
    if (c->fault == FAULT_KILL_BEFORE) {
        instance_kill(r->loop->instance);
        return;
    }
    if (!r->session) {
        c->event = engine_at(engine_now_ns(), r->loop->instance, on_unasked, c);
        return;
    }
    r->arrive_ns = max_u64(engine_now_ns() + fake_redis_delay(), r->arrive_ns);
    c->event = engine_at(r->arrive_ns, ENGINE_NOBODY, on_arrival, c);
}

/* -- redis.h -- */

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    struct redis *r = alloc_zeroed(1, sizeof(*r));

    (void)a;
    *r = (struct redis){.loop = l, .up = up, .down = down, .ctx = ctx};
    list_init(&r->calls);
    list_push_back(&links, &r->link);
    connect_soon(r, 0);
    return r;
}

bool redis_is_up(const struct redis *r)
{
    return r->session && !r->closed;
}

/* Every answer comes, or the connection is lost. */
void redis_set_patience(struct redis *r, uint32_t ms)
{
    must(r && ms);
}

static struct call *new_call(struct redis *r, size_t argc, const struct span *argv, void *ctx)
{
    struct call *c = alloc_zeroed(1, sizeof(*c));
    size_t bytes = argc * sizeof(*argv);
    char *at;

    must(argc > 0);
    for (size_t i = 0; i < argc; i++)
        bytes += argv[i].n;
    *c = (struct call){.r = r, .ctx = ctx, .argc = argc, .argv = alloc_bytes(bytes)};
    list_init(&c->link);
    buf_init(&c->answer, (size_t)1 << 40);
    at = (char *)(c->argv + argc);
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n)
            memcpy(at, argv[i].p, argv[i].n);
        c->argv[i] = span_of(at, argv[i].n);
        at += argv[i].n;
    }
    fake_redis_name(argc, argv, c->name);
    return c;
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    struct call *c = new_call(r, argc, argv, ctx);

    c->cb = cb;
    send(c);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    struct call *c = new_call(r, argc, argv, ctx);

    c->sink = sink;
    c->block_ms = block_ms;
    send(c);
}

static void finish_close(struct redis *r)
{
    loop_cb *closed = r->closed;
    void *ctx = r->closed_ctx;

    end_all(r);
    list_remove(&r->link);
    free(r);
    closed(ctx);
}

static void on_close(void *ctx)
{
    ((struct redis *)ctx)->connecting = NULL;
    finish_close(ctx);
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    must(!r->closed);
    r->closed = closed;
    r->closed_ctx = ctx;
    engine_cancel(r->connecting);
    engine_cancel(r->breaking);
    r->connecting = r->breaking = NULL;
    strand_all(r, EACH_BY_CHANCE);
    if (!r->dead)
        r->connecting = engine_at(engine_now_ns(), r->loop->instance, on_close, r);
}

/* -- the dead -- */

static void bury(struct redis *r)
{
    strand_all(r, ALL_ARRIVE);
    engine_cancel(r->connecting);
    engine_cancel(r->breaking);
    r->connecting = r->breaking = NULL;
    r->dead = true;
    if (!r->closed)
        say_down(r, "killed");
}

void fake_link_bury(int instance)
{
    list_each(it, &links) {
        struct redis *r = list_entry(it, struct redis, link);

        if (r->loop->instance == instance && !r->dead)
            bury(r);
    }
}

void fake_link_answer_dead(int instance)
{
    list_each_safe(it, next, &links) {
        struct redis *r = list_entry(it, struct redis, link);

        if (r->loop->instance != instance || !r->dead)
            continue;
        if (r->closed)
            finish_close(r);
        else
            end_all(r);
    }
}
