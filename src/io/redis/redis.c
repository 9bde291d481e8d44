/* SPDX-License-Identifier: MIT */
#include "redis.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "process.h"
#include "redis_error.h"
#include "redis_internal.h"
#include "redis_lookup.h"
#include "redis_nodes.h"
#include "redis_sentinel.h"
#include "reply.h"

#define CONNECT_TIMEOUT_NS (2 * NS_PER_S)
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define SAY_AGAIN_NS (5 * NS_PER_S)
#define STABLE_NS (5 * NS_PER_S) /* a connection that lasted this long counts as good */

static void start_attempt(void *ctx);
static void connect_next(struct redis *r);

void redis_turn_soon(struct redis *r)
{
    timer_start_at(r->turn, 0);
}

/* Only the first reason is kept, because later ones are its consequences. */
static void lose(struct redis *r, const char *fmt, ...) print_like(2, 3);

static void lose(struct redis *r, const char *fmt, ...)
{
    va_list ap;

    if (r->lost)
        return;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof(r->why), fmt, ap);
    va_end(ap);
    if (!r->why[0]) /* the server has sent an error without words */
        snprintf(r->why, sizeof(r->why), "refused without a reason");
    r->lost = true;
    redis_turn_soon(r);
}

/* -- replies -- */

#define READ_BYTES 16384 /* a TLS record */
#define READS_MAX 8      /* in one turn; then it is the turn of others */

static bool on_part(void *ctx, const struct redis_part *p)
{
    struct redis *r = ctx;

    if (redis_due_ok(&r->due, !list_empty(&r->pending), p))
        return true;
    lose(r, "it says what nobody asked for: is it Redis?");
    return false;
}

void redis_fail_call(struct redis *r, struct redis_call *c)
{
    list_push_back(&r->failed, &c->link);
    redis_turn_soon(r);
}

static void end_call(struct redis_call *c, struct redisReply *reply)
{
    c->cb(c->ctx, reply);
    reply_free_duplicate(c->kept);
    free(c->text.p);
    free(c);
}

/* A yes of WAIT that would also stand for what a node has that we have left. */
static void end_stale(struct redis_call *c)
{
    struct redisReply *no = redis_reply_of(redis_cluster_unconfirmed);

    end_call(c, no);
    reply_free_duplicate(no);
}

void redis_answer(struct redis *r, struct redis_call *c, struct redisReply *reply)
{
    if (reply_refused(reply))
        redis_note_refusal(r, reply_text(reply).p);
    if (r->lost)
        redis_fail_call(r, c);
    else if (c->stale)
        end_stale(c);
    else
        end_call(c, reply);
}

static void answer_call(struct redis *r, struct redis_call *c, struct redisReply *reply)
{
    redis_deadline_paid(&c->owed);
    if (!r->follow.nodes || !redis_follow_took(r, c, reply))
        redis_answer(r, c, reply);
}

static void deliver(struct redis *r, struct redisReply *reply)
{
    struct list *node = list_pop_front(&r->pending);

    if (node)
        answer_call(r, list_entry(node, struct redis_call, link), reply);
    else if (reply_refused(reply))
        lose(r, "%s", reply_text(reply).p);
    else
        redis_message_arrived(r, reply);
}

static void deliver_all(struct redis *r)
{
    struct redisReply *reply;
    bool heard = false;
    const char *why;
    int rc = 1;

    while (!r->lost && !r->closed && rc > 0) {
        rc = redis_reader_next(r->reader, &reply, &why);
        if (rc < 0)
            lose(r, "%s", why);
        if (rc <= 0)
            return;
        if (!heard)
            redis_deadline_heard(&r->deadline);
        heard = true;
        deliver(r, reply);
        if (r->follow.on)
            redis_follow_go(r);
    }
}

static void on_readable(void *ctx)
{
    struct redis *r = ctx;
    char bytes[READ_BYTES];
    size_t n = sizeof(bytes);

    for (int i = 0; i < READS_MAX && n == sizeof(bytes) && !r->lost && !r->closed; i++) {
        if (r->streaming && r->state == REDIS_UP) {
            redis_stream_read(r);
            return;
        }
        n = redis_wire_read(r->wire, bytes, sizeof(bytes));
        if (n == 0)
            return;
        redis_reader_feed(r->reader, bytes, n);
        deliver_all(r);
    }
}

/* -- connecting -- */

void redis_greeted(struct redis *r)
{
    if (r->lost || r->closed)
        return;
    timer_stop(r->timer);
    r->state = REDIS_UP;
    r->outage = false;
    r->up_since_ns = clock_mono_ns();
    if (r->follow.nodes)
        redis_nodes_good(r->follow.nodes, &r->address);
    r->follow.round = 0;
    if (r->follow.on)
        redis_follow_resume(r);
    else
        r->up(r->ctx);
}

static void on_connected(void *ctx)
{
    struct redis *r = ctx;

    if (r->lost || r->closed)
        return;
    r->state = REDIS_GREETING;
    redis_greet(r, &r->address);
}

static void on_lost(void *ctx, const char *why)
{
    lose(ctx, "%s", why);
}

static void connect_to(struct redis *r, const struct addrinfo *to)
{
    static const struct redis_wire_events events = {on_connected, on_readable, on_lost};
    struct error why;

    r->state = REDIS_CONNECTING;
    timer_start_at(r->timer, clock_mono_ns() + CONNECT_TIMEOUT_NS);
    r->reader = redis_reader_new(on_part, r);
    if (redis_wire_open(r->loop, &r->address, to, &events, r, &r->wire, &why) < 0)
        lose(r, "%s", why.text);
}

static void connect_next(struct redis *r)
{
    const struct addrinfo *a = r->next;

    r->next = a->ai_next;
    connect_to(r, a);
}

static void on_found(void *ctx, struct addrinfo *found, const char *why)
{
    struct redis *r = ctx;

    r->lookup = NULL;
    uv_freeaddrinfo(r->addresses);
    r->addresses = r->next = found;
    if (found)
        connect_next(r);
    else
        lose(r, "cannot resolve %s: %s", r->address.host, why);
}

static void resolve(struct redis *r)
{
    const char *why;

    r->state = REDIS_RESOLVING;
    timer_start_at(r->timer, clock_mono_ns() + CONNECT_TIMEOUT_NS);
    redis_lookup_cancel(r->lookup);
    r->lookup = redis_lookup_new(r->loop, r->address.host, on_found, r, &why);
    if (!r->lookup)
        lose(r, "cannot resolve %s: %s", r->address.host, why);
}

/* An answer of a sentinel, or news of a failover. The old master may still answer, but nothing that
 * it says counts any more. */
static void on_master(void *ctx, const struct redis_place *now, bool changed)
{
    struct redis *r = ctx;

    if (changed) {
        r->attempts = 0;
        r->next = NULL;
    }
    if (r->closed || r->lost)
        return;
    if (r->state == REDIS_ASKING) {
        redis_address_set_place(&r->address, now);
        resolve(r);
    } else if (changed && r->state == REDIS_WAITING) {
        timer_start_at(r->timer, 0);
    } else if (changed) {
        lose(r, "Sentinel has made %s:%u the master", now->host, now->port);
    }
}

static void on_sentinels_failed(void *ctx, const char *why)
{
    struct redis *r = ctx;

    if (r->state == REDIS_ASKING)
        lose(r, "%s", why);
}

static void start_attempt(void *ctx)
{
    struct redis *r = ctx;
    struct error why;

    r->attempts++;
    r->state = REDIS_ASKING;
    if (r->follow.nodes)
        redis_nodes_choose(r->follow.nodes, &r->address);
    if (redis_address_refresh(&r->address, &why) < 0)
        lose(r, "%s", why.text);
    else if (r->sentinel)
        redis_sentinel_ask(r->sentinel);
    else if (r->address.host)
        resolve(r);
    else
        connect_to(r, NULL);
}

static void say_down(struct redis *r, const char *why)
{
    uint64_t now_ns = clock_mono_ns();

    if (r->outage &&
        (!redis_says(why) || strcmp(r->said, why) == 0 || now_ns < r->said_ns + SAY_AGAIN_NS))
        return;
    r->outage = true;
    r->said_ns = now_ns;
    snprintf(r->said, sizeof(r->said), "%s", why);
    r->down(r->ctx, why);
}

static void on_timer(void *ctx)
{
    struct redis *r = ctx;

    if (r->state == REDIS_WAITING)
        start_attempt(r);
    else if (r->state == REDIS_UP)
        redis_follow_resume(r);
    else if (r->state == REDIS_RESOLVING)
        say_down(r, "the name of the host is not resolved within 2 s");
    else
        lose(r, "no connection within 2 s%s", r->wire ? redis_wire_delay(r->wire) : "");
}

/* -- work of the next turn -- */

static void wait_and_retry(struct redis *r)
{
    uint64_t ms = BACKOFF_MAX_MS;

    if (r->attempts < 6)
        ms = min_u64(BACKOFF_MAX_MS, (uint64_t)BACKOFF_MIN_MS << r->attempts);
    ms = ms / 2 + rng_below(&r->rng, ms / 2 + 1);
    r->state = REDIS_WAITING;
    timer_start_at(r->timer, clock_mono_ns() + ms * NS_PER_MS);
}

static void end_connection(struct redis *r)
{
    redis_wire_free(r->wire);
    redis_reader_free(r->reader);
    r->wire = NULL;
    r->reader = NULL;
    redis_message_fail_all(r);
    redis_lookup_cancel(r->lookup);
    r->lookup = NULL;
    r->lost = false;
}

/* Ends what waits on the connection, and the connection itself. Commands get NULL soon. */
static void drop_connection(struct redis *r)
{
    if (r->streaming)
        redis_stream_fail(r, r->streaming);
    r->streaming = NULL;
    redis_follow_fail(r, &r->failed);
    list_each(it, &r->pending)
        redis_deadline_paid(&list_entry(it, struct redis_call, link)->owed);
    list_splice_back(&r->failed, &r->pending);
    end_connection(r);
}

/* Another node of the Cluster was named. In the greeting, the rest of it is forgotten. */
static void hop(struct redis *r)
{
    r->follow.hop = false;
    r->next = NULL;
    list_splice_back(&r->failed, &r->pending);
    end_connection(r);
    start_attempt(r);
}

static void after_loss(struct redis *r)
{
    bool was_up = r->state == REDIS_UP;

    drop_connection(r);
    if (was_up && clock_mono_ns() - r->up_since_ns >= STABLE_NS)
        r->attempts = 0;
    if (!was_up && r->next && (r->state == REDIS_CONNECTING || r->state == REDIS_GREETING)) {
        connect_next(r);
        return;
    }
    if (!was_up && redis_follow_tries_next(r)) {
        start_attempt(r);
        return;
    }
    if (!was_up && r->sentinel && r->state != REDIS_ASKING)
        redis_sentinel_distrust(r->sentinel);
    wait_and_retry(r);
    say_down(r, r->why);
}

static void deliver_failed(struct redis *r)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &r->failed);
    while ((node = list_pop_front(&now))) {
        struct redis_call *c = list_entry(node, struct redis_call, link);

        end_call(c, NULL);
    }
}

static void finish(struct redis *r)
{
    loop_cb *closed = r->closed;
    void *ctx = r->closed_ctx;

    timer_close(r->timer);
    timer_close(r->turn);
    redis_deadline_deinit(&r->deadline);
    redis_follow_deinit(r);
    uv_freeaddrinfo(r->addresses);
    redis_address_deinit(&r->address);
    free(r);
    closed(ctx);
}

static void on_sentinel_closed(void *ctx)
{
    struct redis *r = ctx;

    r->sentinel = NULL;
    redis_turn_soon(r);
}

static void on_turn(void *ctx)
{
    struct redis *r = ctx;

    if (r->closed || (r->lost && !r->follow.hop))
        redis_follow_drop_guest(r);
    if (r->closed)
        drop_connection(r);
    else if (r->lost && r->follow.hop)
        hop(r);
    else if (r->lost)
        after_loss(r);
    deliver_failed(r);
    if (!list_empty(&r->failed))
        redis_turn_soon(r);
    else if (r->closed && r->sentinel)
        redis_sentinel_close(r->sentinel, on_sentinel_closed, r);
    else if (r->closed && !r->follow.guests)
        finish(r);
}

/* -- commands -- */

static struct redis_call *new_call(redis_reply_cb *cb, void *ctx)
{
    struct redis_call *c = alloc_zeroed(1, sizeof(*c));

    c->cb = cb;
    c->ctx = ctx;
    list_init(&c->owed.link);
    return c;
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    struct redis_call *c = new_call(cb, ctx);

    must(argc > 0 && argc <= INT32_MAX);
    must(!r->streaming);
    if (!redis_is_up(r)) {
        redis_fail_call(r, c);
        return;
    }
    if (r->follow.nodes && redis_follow_sends(r, c, argc, argv))
        return;
    redis_deadline_owe(&r->deadline, &c->owed, 0);
    list_push_back(&r->pending, &c->link);
    redis_wire_send(r->wire, argc, argv);
}

/* -- for the other files of the connection -- */

void redis_send_call(struct redis *r, struct redis_call *c)
{
    redis_deadline_owe(&r->deadline, &c->owed, 0);
    list_push_back(&r->pending, &c->link);
    redis_wire_send_text(r->wire, span_of(c->text.p, c->text.to));
}

void redis_command_text(struct redis *r, struct span text, redis_reply_cb *cb, void *ctx)
{
    struct redis_call *c = new_call(cb, ctx);

    if (!redis_is_up(r)) {
        redis_fail_call(r, c);
        return;
    }
    redis_deadline_owe(&r->deadline, &c->owed, 0);
    list_push_back(&r->pending, &c->link);
    redis_wire_send_text(r->wire, text);
}

struct redis_wire *redis_connection(struct redis *r)
{
    return r->state == REDIS_UP && redis_is_up(r) && !r->lost ? r->wire : NULL;
}

/* The time for the whole greeting is limited by `timer`. */
void redis_send_greeting(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb)
{
    list_push_back(&r->pending, &new_call(cb, r)->link);
    redis_wire_send(r->wire, argc, argv);
}

void redis_lose(struct redis *r, const char *why)
{
    lose(r, "%s", why);
}

void redis_note_refusal(struct redis *r, const char *words)
{
    enum redis_error e = redis_error_of(words);
    bool follows = r->follow.nodes || r->is_guest;

    if (redis_error_is_unfit(e) && !(follows && e == REDIS_ERROR_MOVED))
        lose(r, "%s", words);
}

void redis_fail(struct redis *r, redis_reply_cb *cb, void *ctx)
{
    redis_fail_call(r, new_call(cb, ctx));
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    r->deadline.patience_ns = ms * NS_PER_MS;
}

uint64_t redis_silent_ns(const struct redis *r)
{
    return redis_deadline_silence_ns(&r->deadline);
}

bool redis_is_up(const struct redis *r)
{
    if (r->closed)
        return false;
    return (r->state == REDIS_UP || r->follow.on) && (!r->lost || r->follow.hop);
}

/* -- opening and closing -- */

static void on_silence(void *ctx)
{
    struct redis *r = ctx;

    lose(r, "no answer within %u s", (unsigned)(r->deadline.patience_ns / NS_PER_S));
}

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    struct redis *r = alloc_zeroed(1, sizeof(*r));

    must(a->host || a->unix_path || a->master || a->cluster);
    r->loop = l;
    redis_address_copy(a, &r->address);
    r->up = up;
    r->down = down;
    r->ctx = ctx;
    list_init(&r->pending);
    list_init(&r->failed);
    redis_due_init(&r->due);
    redis_follow_init(r);
    r->rng.state = process_random();
    if (a->master)
        r->sentinel = redis_sentinel_new(l, a, on_master, on_sentinels_failed, r);
    r->timer = timer_new(l, on_timer, r);
    r->turn = timer_new(l, on_turn, r);
    redis_deadline_init(&r->deadline, l, on_silence, r);
    redis_set_patience(r, REDIS_PATIENCE_MS);
    r->state = REDIS_WAITING;
    timer_start_at(r->timer, 0);
    return r;
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    must(!r->closed);
    r->closed = closed;
    r->closed_ctx = ctx;
    timer_stop(r->timer);
    redis_turn_soon(r);
}
