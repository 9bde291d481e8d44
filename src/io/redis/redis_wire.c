/* SPDX-License-Identifier: MIT */
#include "redis_wire.h"

#include <errno.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <uv.h>

#include "alloc.h"

struct wire {
    redisAsyncContext *ac; /* NULL after hiredis has released it */
    uv_poll_t poll;
    int wanted;        /* UV_READABLE, UV_WRITABLE */
    int armed;         /* events uv_poll was started with; starting it again costs a system call */
    loop_cb *readable; /* NULL: hiredis reads */
    void *ctx;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void arm(struct wire *w)
{
    if (!w->ac || w->wanted == w->armed)
        return;
    w->armed = w->wanted;
    if (w->wanted)
        (void)uv_poll_start(&w->poll, w->wanted | UV_DISCONNECT, on_poll);
    else
        (void)uv_poll_stop(&w->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct wire *w = poll->data;

    if (status < 0) {
        /* libuv has stopped watching. hiredis will find the error when it reads. */
        w->armed = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if (w->ac && (events & (UV_READABLE | UV_DISCONNECT))) {
        if (w->readable)
            w->readable(w->ctx);
        else
            redisAsyncHandleRead(w->ac);
    }
    if (w->ac && (events & UV_WRITABLE))
        redisAsyncHandleWrite(w->ac);
    arm(w);
}

static void add_read(void *priv)
{
    struct wire *w = priv;

    w->wanted |= UV_READABLE;
    arm(w);
}

static void del_read(void *priv)
{
    struct wire *w = priv;

    w->wanted &= ~UV_READABLE;
    arm(w);
}

static void add_write(void *priv)
{
    struct wire *w = priv;

    w->wanted |= UV_WRITABLE;
    arm(w);
}

static void del_write(void *priv)
{
    struct wire *w = priv;

    w->wanted &= ~UV_WRITABLE;
    arm(w);
}

static void on_poll_closed(uv_handle_t *h)
{
    free(h->data);
}

/* hiredis 1.x may call this twice for one context. */
static void cleanup(void *priv)
{
    struct wire *w = priv;

    if (!w->ac)
        return;
    w->ac = NULL;
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
}

int redis_wire_attach(struct loop *l, struct redisAsyncContext *ac)
{
    struct wire *w = alloc_zeroed(1, sizeof(*w));
    int err = uv_poll_init(loop_uv(l), &w->poll, ac->c.fd);

    if (err < 0) {
        free(w);
        return err;
    }
    w->ac = ac;
    w->poll.data = w;
    ac->ev.data = w;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return 0;
}

void redis_wire_divert(struct redisAsyncContext *ac, loop_cb *readable, void *ctx)
{
    struct wire *w = ac->ev.data;

    w->readable = readable;
    w->ctx = ctx;
}
