/* SPDX-License-Identifier: MIT */
#include "redis_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "alloc.h"
#include "redis_codec.h"
#include "redis_transport.h"

/* What is gathered in a turn is sent at its end, or when it is this much, for example ten jobs. The
 * endpoint's turns have many commands, and Redis would be idle while it makes them. */
#define EAGER_BYTES 2048u

struct redis_wire {
    const struct redis_wire_events *events;
    void *ctx;
    struct redis_transport *transport;
    struct redis_text out;
    struct loop *loop;
    struct loop_last flush; /* asked for while there is something to send */
    uv_poll_t *poll;        /* outlives the wire until libuv has closed it */
    struct timer *again; /* started if bytes are pending in the transport, see redis_transport.h */
    bool connected, lost;
    int armed; /* events uv_poll was started with; starting it again costs a system call */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static int wanted_events(const struct redis_wire *w)
{
    unsigned wants = redis_transport_reading_wants(w->transport);

    if (w->lost)
        return 0;
    if (w->out.from < w->out.to)
        wants |= redis_transport_writing_wants(w->transport);
    return (wants & REDIS_WANTS_READABLE ? UV_READABLE : 0) |
           (wants & REDIS_WANTS_WRITABLE ? UV_WRITABLE : 0) | UV_DISCONNECT;
}

static void arm(struct redis_wire *w)
{
    int wanted = wanted_events(w);

    if (wanted == w->armed)
        return;
    w->armed = wanted;
    if (wanted)
        (void)uv_poll_start(w->poll, wanted, on_poll);
    else
        (void)uv_poll_stop(w->poll);
}

static void lose(struct redis_wire *w, const char *why)
{
    if (w->lost)
        return;
    w->lost = true;
    w->events->lost(w->ctx, why);
}

/* -- writing -- */

static void flush(struct redis_wire *w)
{
    struct error why;
    ssize_t n = 1;

    while (n > 0 && !w->lost && w->out.from < w->out.to) {
        n = redis_transport_write(w->transport, w->out.p + w->out.from, w->out.to - w->out.from,
                                  &why);
        if (n > 0)
            redis_text_sent(&w->out, (size_t)n);
        else if (n != -EAGAIN)
            lose(w, why.text);
    }
}

/* Called after all callbacks of a turn, before the loop sleeps. */
static void on_flush(void *ctx)
{
    struct redis_wire *w = ctx;

    flush(w);
    arm(w);
}

static void flush_soon(struct redis_wire *w)
{
    if (!w->lost)
        loop_before_sleep(w->loop, &w->flush);
}

/* An error is left to on_flush, because who sends a command must not be called back meanwhile.
 * `had` bytes were there before: if that was enough to be sent, the socket takes no more now. */
static void flush_some(struct redis_wire *w, size_t had)
{
    struct error why;
    ssize_t n;

    if (w->lost || had >= EAGER_BYTES || w->out.to - w->out.from < EAGER_BYTES)
        return;
    n = redis_transport_write(w->transport, w->out.p + w->out.from, w->out.to - w->out.from, &why);
    if (n > 0)
        redis_text_sent(&w->out, (size_t)n);
}

void redis_wire_send(struct redis_wire *w, size_t argc, const struct span *argv)
{
    size_t had = w->out.to - w->out.from;

    must(w->connected);
    redis_format(&w->out, argc, argv);
    flush_some(w, had);
    flush_soon(w);
}

void redis_wire_send_text(struct redis_wire *w, struct span text)
{
    must(w->connected);
    redis_text_add(&w->out, text);
    flush_soon(w);
}

/* -- reading -- */

size_t redis_wire_read(struct redis_wire *w, char *p, size_t room)
{
    struct error why;
    ssize_t n;

    if (w->lost)
        return 0;
    n = redis_transport_read(w->transport, p, room, &why);
    if (n == 0)
        lose(w, "Server closed the connection");
    else if (n < 0 && n != -EAGAIN)
        lose(w, why.text);
    return n > 0 ? (size_t)n : 0;
}

static void read_on(struct redis_wire *w)
{
    if (w->lost)
        return;
    w->events->readable(w->ctx);
    if (!w->lost && redis_transport_pending(w->transport))
        timer_start_at(w->again, 0);
}

static void on_again(void *ctx)
{
    struct redis_wire *w = ctx;

    read_on(w);
    arm(w);
}

/* -- events -- */

static void go_on_connecting(struct redis_wire *w)
{
    struct error why;
    int rc = redis_transport_connect(w->transport, &why);

    if (rc == 0) {
        w->connected = true;
        w->events->connected(w->ctx);
        if (redis_transport_pending(w->transport))
            timer_start_at(w->again, 0);
    } else if (rc != -EAGAIN) {
        lose(w, why.text);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct redis_wire *w = poll->data;
    unsigned ready = events & UV_WRITABLE ? REDIS_WANTS_WRITABLE : 0;

    if (events & (UV_READABLE | UV_DISCONNECT))
        ready |= REDIS_WANTS_READABLE;
    if (status < 0) {
        /* libuv has stopped watching. Reading finds the error. */
        w->armed = 0;
        ready = REDIS_WANTS_READABLE | REDIS_WANTS_WRITABLE;
    }
    if (!w->connected && !w->lost) {
        go_on_connecting(w);
    } else {
        if (ready & redis_transport_reading_wants(w->transport) || events & UV_DISCONNECT)
            read_on(w);
        if (ready & redis_transport_writing_wants(w->transport))
            flush(w);
    }
    arm(w);
}

/* -- opening and closing -- */

static void on_closed(uv_handle_t *poll)
{
    free(poll);
}

static int watch(struct redis_wire *w, struct loop *l, struct error *err)
{
    uv_poll_t *poll = alloc_zeroed(1, sizeof(*poll));
    int rc = uv_poll_init(loop_uv(l), poll, redis_transport_fd(w->transport));

    if (rc < 0) {
        free(poll);
        return error_set(err, rc, "%s", uv_strerror(rc));
    }
    poll->data = w;
    w->poll = poll;
    w->again = timer_new(l, on_again, w);
    arm(w); /* a socket that does not connect yet counts as writable */
    return 0;
}

int redis_wire_open(struct loop *l, const struct redis_address *a, const struct addrinfo *to,
                    const struct redis_wire_events *events, void *ctx, struct redis_wire **out,
                    struct error *err)
{
    struct redis_wire *w = alloc_zeroed(1, sizeof(*w));
    int rc = redis_transport_open(a, to, &w->transport, err);

    w->events = events;
    w->ctx = ctx;
    w->loop = l;
    list_init(&w->flush.link);
    w->flush.cb = on_flush;
    w->flush.ctx = w;
    if (rc == 0)
        rc = watch(w, l, err);
    if (rc < 0) {
        redis_wire_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void redis_wire_free(struct redis_wire *w)
{
    if (!w)
        return;
    list_remove(&w->flush.link);
    if (w->poll)
        uv_close((uv_handle_t *)w->poll, on_closed);
    timer_close(w->again);
    redis_transport_free(w->transport);
    free(w->out.p);
    free(w);
}

const char *redis_wire_delay(const struct redis_wire *w)
{
    return redis_transport_delay(w->transport);
}
