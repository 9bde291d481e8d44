/* SPDX-License-Identifier: MIT
 * Any bytes from the nodes of a Redis Cluster, or from servers that claim to be such, while
 * commands, a transaction or a stream wait for their replies: redirects to any place, answers in
 * any order, the end at any time. Every callback is called exactly once. Input: a byte that says
 * what waits (1: commands, 2: a stream, 4: all on a blocking connection) and whether replicas must
 * confirm them (8), and in its upper half the size of the pieces in which the bytes arrive (0: all
 * at once); then the bytes, which all connections share: whoever reads first gets them. After them
 * the nodes close. Each node answers its greeting. The linker uses the functions in this file
 * instead of io's transport and lookup. */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "client.h"
#include "fake_sink.h"
#include "fake_transport.h"
#include "fuzz.h"
#include "redis_lookup.h"

enum { COMMANDS = 1, STREAM = 2, BLOCKING = 4, REPLICAS = 8 };

#define SIZE_MAX_HERE 300 /* pauses between attempts are real */

static struct {
    unsigned what;
    size_t piece;
    struct span rest;
    struct redis *r;
    unsigned owed; /* callbacks */
    bool early;    /* a function has not returned yet, so no callback may be called */
    bool opened;   /* a transport, before this one */
    bool closing, closed;
} run;

/* -- transports whose bytes come from the input -- */

int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                         struct redis_transport **out, struct error *err)
{
    struct redis_transport *t = alloc_zeroed(1, sizeof(*t));

    (void)to, (void)err;
    t->fd = eventfd(1, EFD_CLOEXEC);
    must(t->fd >= 0);
    if (run.what & BLOCKING)
        t->greeting = run.opened ? SPAN("+OK\r\n") : SPAN("+OK\r\n*0\r\n");
    else if (!a->cluster)
        t->greeting = SPAN("+OK\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n");
    else
        t->greeting = SPAN("+OK\r\n*0\r\n:0\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n");
    run.opened = true;
    t->rest = run.rest;
    t->piece = run.piece;
    *out = t;
    return 0;
}

void redis_transport_free(struct redis_transport *t)
{
    if (t)
        close(t->fd);
    free(t);
}

ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    bool greets = t->greeting.n > 0;
    ssize_t n;

    (void)err;
    must(room > 0);
    t->rest = run.rest;
    n = fake_transport_take(t, p, t->piece ? min_u64(room, t->piece) : room);
    if (!greets)
        run.rest = t->rest;
    return n;
}

bool redis_transport_pending(const struct redis_transport *t)
{
    return t->piece % 2;
}

ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    (void)t, (void)err;
    fake_transport_check(p, n);
    return (ssize_t)n;
}

/* -- every name is on this machine -- */

struct redis_lookup {
    struct timer *timer;
    redis_lookup_cb *cb;
    void *ctx;
};

static void on_looked_up(void *ctx)
{
    struct redis_lookup k = *(struct redis_lookup *)ctx;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;

    redis_lookup_cancel(ctx);
    must(getaddrinfo("127.0.0.1", NULL, &hints, &found) == 0);
    k.cb(k.ctx, found, NULL);
}

struct redis_lookup *redis_lookup_new(struct loop *l, const char *host, redis_lookup_cb *cb,
                                      void *ctx, const char **why)
{
    struct redis_lookup *k = alloc_zeroed(1, sizeof(*k));

    (void)why;
    must(host[0]);
    k->cb = cb;
    k->ctx = ctx;
    k->timer = timer_new(l, on_looked_up, k);
    timer_start_at(k->timer, 0);
    return k;
}

void redis_lookup_cancel(struct redis_lookup *k)
{
    if (k)
        timer_close(k->timer);
    free(k);
}

/* -- what waits for the bytes -- */

static const struct span xadd[] = {SPAN("XADD"), SPAN("purgeline:{main}:jobs:normal"), SPAN("*"),
                                   SPAN("keys"), SPAN("k")};
static const struct span wait_for_one[] = {SPAN("WAIT"), SPAN("1"), SPAN("1000")};
static const struct span multi[] = {SPAN("MULTI")}, exec[] = {SPAN("EXEC")};

static const struct {
    size_t argc;
    const struct span *argv;
} commands[] = {{array_len(xadd), xadd},
                {array_len(wait_for_one), wait_for_one},
                {1, multi},
                {array_len(xadd), xadd},
                {1, exec},
                {array_len(xadd), xadd},
                {array_len(wait_for_one), wait_for_one}};

static void on_closed(void *ctx)
{
    (void)ctx;
    must(run.owed == 0);
    run.closed = true;
}

static void end(void)
{
    if (!run.closing)
        redis_close(run.r, on_closed, NULL);
    run.closing = true;
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    must(why[0]);
    end();
}

static void paid(void)
{
    must(!run.early && run.owed > 0);
    if (--run.owed == 0)
        end();
}

static void on_reply(void *ctx, struct redisReply *reply)
{
    (void)ctx;
    must(reply_text(reply).n + reply_count(reply) < SIZE_MAX);
    paid();
}

static void stream_done(void *ctx, int err)
{
    (void)ctx;
    must(err == 0 || err == -ENOTCONN);
    paid();
}

static void on_up(void *ctx)
{
    static const struct redis_sink sink = {stream_room, stream_took, stream_error, stream_done};

    (void)ctx;
    if (run.closing)
        return;
    run.early = true;
    if (run.what & STREAM) {
        redis_stream(run.r, 0, array_len(xadd), xadd, &sink, NULL);
        run.owed++;
    } else {
        for (size_t i = 0; i < array_len(commands); i++, run.owed++)
            redis_command(run.r, commands[i].argc, commands[i].argv, on_reply, NULL);
    }
    run.early = false;
}

static void on_loop(const struct redis_address *a)
{
    static struct loop *loop;

    if (!loop)
        loop = loop_new();
    run.r = redis_new(loop, a, on_up, on_down, NULL);
    loop_run(loop);
    must(run.closed);
}

static void blocking(const struct redis_address *a)
{
    struct client *c;
    struct error err;
    int rc = client_open(a, &c, &err);

    if (rc < 0)
        return;
    for (size_t i = 0; i < array_len(commands); i++)
        client_send(c, commands[i].argc, commands[i].argv);
    for (size_t i = 0; rc == 0 && i < array_len(commands); i++) {
        struct redisReply *reply;

        rc = client_receive(c, &reply);
        must(rc == 0 || rc == -ENOTCONN);
        must(rc < 0 || reply_text(reply).n + reply_count(reply) < SIZE_MAX);
    }
    client_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_place node = {(char *)"node", 7000};
    struct redis_address a = {
        .cluster = true, .nodes = &node, .nodes_count = 1, .home = "purgeline:{main}:jobs:normal"};

    if (size == 0 || size > SIZE_MAX_HERE)
        return 0;
    memset(&run, 0, sizeof(run));
    memset(stream_bytes, 0, sizeof(stream_bytes));
    run.what = data[0] % 16;
    run.piece = data[0] / 16;
    run.rest = span_of((const char *)data + 1, size - 1);
    a.replicas = run.what & REPLICAS ? 1 : 0;
    if (run.what & BLOCKING) {
        a.unix_path = (char *)"/node"; /* so that nothing is looked up */
        blocking(&a);
    } else {
        on_loop(&a);
    }
    return 0;
}
