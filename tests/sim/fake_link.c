/* SPDX-License-Identifier: MIT */
#include "fake_link_internal.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_redis.h"
#include "fakeio_internal.h"
#include "fault.h"
#include "instance.h"
#include "journal.h"

/* A command on its way:
 *
 *   asked ──latency──▶ arrives: done, all at once ──latency──▶ answered
 *              └── lost ──────────────────└── lost ───▶ NULL
 *
 * A reply that goes to a sink as it arrives is a command like any other. XREAD with BLOCK may find
 * nothing; then it waits at Redis for an entry.
 *
 * A connection to a node of a Cluster carries bytes, and is not made again when it is lost. */

#define RECONNECT_NS (100 * NS_PER_MS)

struct list fake_links;

void fake_link_begin(void)
{
    list_init(&fake_links);
}

/* The endpoint's, which is nobody's instance. */
static bool is_of_api(const struct fake_link *r)
{
    return r->loop->instance == ENGINE_NOBODY;
}

bool fake_link_is_cut_off(const struct fake_link *r)
{
    return fake_redis_cut_off(r->loop->instance);
}

static const char *name_of(const struct fake_link *r)
{
    return is_of_api(r) ? "the endpoint" : instance_name(r->loop->instance);
}

/* -- connecting -- */

static void on_connected(void *ctx);

static void connect_soon(struct fake_link *r, uint64_t delay_ns)
{
    r->connecting = engine_at(engine_now_ns() + delay_ns, r->loop->instance, on_connected, r);
}

static void say_down(struct fake_link *r, const char *why)
{
    if (!r->said_down)
        r->down(r->ctx, why);
    r->said_down = true;
}

static bool is_of_cluster(const struct fake_link *r)
{
    return r->machine != FAKE_CLUSTER_NO_MACHINE;
}

static bool answers(const struct fake_link *r)
{
    if (is_of_cluster(r) && !fake_cluster_answers(r->machine))
        return false;
    return !fake_redis_weather.away || fake_link_is_cut_off(r);
}

static void connect_again(struct fake_link *r)
{
    if (!is_of_cluster(r) && !r->connecting)
        connect_soon(r, RECONNECT_NS);
}

static void on_connected(void *ctx)
{
    struct fake_link *r = ctx;

    r->connecting = NULL;
    if (!answers(r)) {
        connect_again(r);
        say_down(r, "connection refused");
        return;
    }
    if (is_of_cluster(r))
        r->session = fake_cluster_open(r->machine);
    else
        r->session = fakeredis_open(fake_redis_of(r->loop->instance), NULL, NULL, NULL);
    r->written = 0;
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

/* A part of the answer arrives before the connection is lost. */
static bool arrives_in_part(const struct call *c, enum ending how)
{
    return how == LOST && c->on_its_way_back && !c->r->dead;
}

static void end_bytes(struct call *c, enum ending how)
{
    if (how == ANSWERED)
        c->bytes(c->ctx, buf_span(&c->answer));
    else if (arrives_in_part(c, how))
        c->bytes(c->ctx, span_of(c->answer.p, c->answer.n / 2));
}

static void end_stream(struct call *c, enum ending how)
{
    if (how == ANSWERED)
        must(pour(c, c->answer.n) == 1);
    else if (arrives_in_part(c, how))
        (void)pour(c, c->answer.n / 2);
    c->sink->done(c->ctx, how == ANSWERED ? 0 : -ENOTCONN);
}

static void end(struct call *c, enum ending how)
{
    struct redisReply *reply = NULL;

    list_remove(&c->link);
    if (c->bytes) {
        end_bytes(c, how);
    } else if (c->sink) {
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

/* Answers come one after the other, so a part arrives of the first one only. */
static void end_all(struct fake_link *r)
{
    for (bool first = true; !list_empty(&r->calls); first = false) {
        struct call *c = list_first(&r->calls, struct call, link);

        c->on_its_way_back &= first;
        end(c, LOST);
    }
}

/* -- breaking -- */

static void on_broken(void *ctx)
{
    struct fake_link *r = ctx;

    r->breaking = NULL;
    end_all(r);
    if (r->closed)
        return;
    say_down(r, r->why);
    connect_again(r);
}

void fake_link_carry_out(struct call *c)
{
    enum ends_asker asker = is_of_api(c->r) ? ENDS_API : ENDS_DAEMON;
    uint64_t before = fakeredis_written(c->r->session);

    if (fake_link_is_cut_off(c->r))
        asker = is_of_api(c->r) ? ENDS_API_CUT_OFF : ENDS_DAEMON_CUT_OFF;
    c->done = true;
    buf_clear(&c->answer);
    fake_redis_run(c->r->session, c->name, asker, c->argc, c->argv, &c->answer);
    if (fakeredis_written(c->r->session) != before)
        c->r->written = fake_link_is_cut_off(c->r) ? UINT64_MAX : journal_count();
}

enum luck { EACH_BY_CHANCE, ALL_ARRIVE };

/* The commands of a connection that is no more: some were on their way, and arrive all the same;
 * but none arrives when one before it did not. */
static void strand_all(struct fake_link *r, enum luck luck)
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
            fake_link_carry_out(c);
        c->done = true;
        c->waits = false;
    }
    if (r->session)
        fakeredis_close(r->session);
    r->session = NULL;
}

static void lose(struct fake_link *r, const char *why)
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
    list_each(it, &fake_links) {
        struct fake_link *r = list_entry(it, struct fake_link, link);

        if (fake_link_is_cut_off(r) == cut_off)
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

void fake_link_break_machine(int machine, const char *why)
{
    list_each(it, &fake_links) {
        struct fake_link *r = list_entry(it, struct fake_link, link);

        if (r->machine == machine)
            lose(r, why);
    }
}

/* -- a command's way -- */

static void on_reply(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    end(c, ANSWERED);
}

void fake_link_reply(struct call *c)
{
    struct fake_link *r = c->r;

    c->on_its_way_back = true;
    r->reply_ns = max_u64(engine_now_ns() + fake_redis_delay(), r->reply_ns);
    c->event = engine_at(r->reply_ns, r->loop->instance, on_reply, c);
    fake_link_go_on(r);
}

static void arrive(struct call *c)
{
    if (strcmp(c->name, "WAIT") == 0) {
        fake_link_wait_for_replica(c);
        return;
    }
    fake_link_carry_out(c);
    if (c->fault == FAULT_LOST_AFTER) {
        c->on_its_way_back = true;
        lose(c->r, "reset");
    } else if (c->fault == FAULT_KILL_AFTER) {
        instance_kill(c->r->loop->instance);
    } else if (!fake_link_waits_for_entry(c)) {
        fake_link_reply(c);
    }
}

void fake_link_arrive(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    if (fake_link_waits_behind(c))
        return;
    trace_detail("redis: %s of %s arrives", c->name, name_of(c->r));
    if (c->fault == FAULT_LOST_BEFORE)
        lose(c->r, "reset");
    else
        arrive(c);
}

static void on_unasked(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    end(c, LOST);
}

/* Setting a connection up, and looking for broken keys, changes nothing, and is not counted: what a
 * story loses, and torture, is a question about jobs. A WAIT is part of the question before it, and
 * ASKING of the one after it. */
static bool is_counted(const struct call *c)
{
    static const char *const not_counted[] = {"CLIENT",  "SCRIPT", "CONFIG", "WAIT", "examine",
                                              "CLUSTER", "EXISTS", "ROLE",   "PING", "ASKING"};

    for (size_t i = 0; i < array_len(not_counted); i++)
        if (strcmp(c->name, not_counted[i]) == 0)
            return false;
    return true;
}

static void send(struct call *c)
{
    struct fake_link *r = c->r;

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
    c->event = engine_at(r->arrive_ns, ENGINE_NOBODY, fake_link_arrive, c);
}

/* -- what redis.h and redis_wire.h do with it -- */

struct fake_link *fake_link_new(struct loop *l, int machine, redis_up_cb *up, redis_down_cb *down,
                                void *ctx)
{
    struct fake_link *r = alloc_zeroed(1, sizeof(*r));

    *r = (struct fake_link){.loop = l, .machine = machine, .up = up, .down = down, .ctx = ctx};
    list_init(&r->calls);
    list_push_back(&fake_links, &r->link);
    connect_soon(r, 0);
    return r;
}

bool fake_link_is_up(const struct fake_link *r)
{
    return r->session && !r->closed;
}

static struct call *new_call(struct fake_link *r, size_t argc, const struct span *argv, void *ctx)
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

void fake_link_command(struct fake_link *r, size_t argc, const struct span *argv,
                       redis_reply_cb *cb, void *ctx)
{
    struct call *c = new_call(r, argc, argv, ctx);

    c->cb = cb;
    send(c);
}

void fake_link_stream(struct fake_link *r, uint32_t block_ms, size_t argc, const struct span *argv,
                      const struct redis_sink *sink, void *ctx)
{
    struct call *c = new_call(r, argc, argv, ctx);

    c->sink = sink;
    c->block_ms = block_ms;
    send(c);
}

void fake_link_bytes(struct fake_link *r, uint32_t block_ms, size_t argc, const struct span *argv,
                     fake_link_bytes_cb *cb, void *ctx)
{
    struct call *c = new_call(r, argc, argv, ctx);

    c->bytes = cb;
    c->block_ms = block_ms;
    send(c);
}

static void finish_close(struct fake_link *r)
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
    ((struct fake_link *)ctx)->connecting = NULL;
    finish_close(ctx);
}

void fake_link_close(struct fake_link *r, loop_cb *closed, void *ctx)
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

static void bury(struct fake_link *r)
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
    list_each(it, &fake_links) {
        struct fake_link *r = list_entry(it, struct fake_link, link);

        if (r->loop->instance == instance && !r->dead)
            bury(r);
    }
}

void fake_link_answer_dead(int instance)
{
    list_each_safe(it, next, &fake_links) {
        struct fake_link *r = list_entry(it, struct fake_link, link);

        if (r->loop->instance != instance || !r->dead)
            continue;
        if (r->closed)
            finish_close(r);
        else
            end_all(r);
    }
}
