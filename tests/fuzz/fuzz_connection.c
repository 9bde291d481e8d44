/* SPDX-License-Identifier: MIT
 * Any bytes on a connection to Redis that belongs to a loop, while commands, a subscription or a
 * stream wait for them. Every callback is called exactly once. Input: a byte that says what waits
 * (1: two commands, 2: a subscription, 4: a stream) and whether the greeting is answered first (8),
 * and in its upper half the size of the pieces in which the bytes arrive (0: all at once); then the
 * bytes. After them the server closes. The linker uses the functions in this file instead of io's
 * transport. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_sink.h"
#include "fake_transport.h"
#include "fuzz.h"
#include "redis.h"
#include "reply.h"

enum { COMMANDS = 1, SUBSCRIPTION = 2, STREAM = 4, GREETED = 8 };

/* -- a transport whose bytes come from the input -- */

static struct redis_transport the_transport;

int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                         struct redis_transport **out, struct error *err)
{
    (void)a, (void)to, (void)err;
    the_transport.fd = eventfd(1, EFD_CLOEXEC);
    must(the_transport.fd >= 0);
    *out = &the_transport;
    return 0;
}

void redis_transport_free(struct redis_transport *t)
{
    if (t)
        close(t->fd);
}

ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    (void)err;
    must(room > 0);
    return fake_transport_take(t, p, t->piece ? min_u64(room, t->piece) : room);
}

bool redis_transport_pending(const struct redis_transport *t)
{
    return t->piece % 2;
}

ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    (void)t, (void)err;
    fake_transport_check(p, n);
    return (ssize_t)(n > 50 ? 50 : n);
}

/* -- what waits for the bytes -- */

static struct {
    unsigned what;
    struct redis *r;
    unsigned owed;  /* callbacks */
    unsigned early; /* 1: a function has not returned yet, so no callback may be called */
    bool closing, closed;
} run;

static void on_closed(void *ctx)
{
    (void)ctx;
    must(run.owed == 0);
    run.closed = true;
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    must(why[0]);
    if (!run.closing)
        redis_close(run.r, on_closed, NULL);
    run.closing = true;
}

static size_t look_at(const struct redisReply *reply, unsigned depth)
{
    size_t sum = reply_text(reply).n + reply_count(reply);

    for (size_t i = 0; depth && i < reply_count(reply); i++)
        sum += look_at(reply_at(reply, i), depth - 1);
    return sum;
}

static void on_reply(void *ctx, struct redisReply *reply)
{
    (void)ctx;
    must(!run.early && run.owed > 0);
    run.owed--;
    must(look_at(reply, 8) < SIZE_MAX);
}

static void on_message(void *ctx, const struct span *text)
{
    (void)ctx;
    must(!run.early && run.owed > 0);
    if (!text)
        run.owed--;
}

static void stream_done(void *ctx, int err)
{
    (void)ctx;
    must(!run.early && run.owed > 0 && (err == 0 || err == -ENOTCONN));
    run.owed--;
}

static const struct redis_sink sink = {stream_room, stream_took, stream_error, stream_done};

static void ask(void)
{
    static const struct span echo[] = {SPAN("ECHO"), SPAN("some text")};

    run.early = 1;
    if (run.what & SUBSCRIPTION) {
        redis_subscribe(run.r, SPAN("c"), on_message, NULL);
        run.owed++;
    } else if (run.what & STREAM) {
        redis_stream(run.r, 0, 2, echo, &sink, NULL);
        run.owed++;
    } else if (run.what & COMMANDS) {
        redis_command(run.r, 2, echo, on_reply, NULL);
        redis_command(run.r, 2, echo, on_reply, NULL);
        run.owed += 2;
    }
    run.early = 0;
}

static void on_up(void *ctx)
{
    (void)ctx;
    ask();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    static char path[] = "/fuzz";
    const struct redis_address address = {.unix_path = path};

    if (size == 0)
        return 0;
    if (!loop)
        loop = loop_new();
    memset(&run, 0, sizeof(run));
    memset(stream_bytes, 0, sizeof(stream_bytes));
    run.what = data[0] % 16;
    the_transport = (struct redis_transport){
        .greeting = run.what & GREETED ? SPAN("+OK\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n") : SPAN(""),
        .rest = span_of((const char *)data + 1, size - 1),
        .piece = data[0] / 16};
    run.r = redis_new(loop, &address, on_up, on_down, NULL);
    ask(); /* before it is up */
    loop_run(loop);
    must(run.closed);
    return 0;
}
