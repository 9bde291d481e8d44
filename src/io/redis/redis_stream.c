/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "redis_codec.h"
#include "redis_internal.h"
#include "redis_wire.h"

/* hiredis' reader keeps a string in memory until it is complete, however long it is. For one
 * command the bytes are therefore read here and bypass hiredis, which still manages the
 * connection. */

/* The number of bytes read; 0 if none have arrived. Negative if the connection has ended, which
 * hiredis will find as well. */
static ssize_t read_some(redisContext *c, char *at, size_t room)
{
#if HIREDIS_MAJOR >= 1
    return c->funcs->read(c, at, room);
#else
    ssize_t n = read(c->fd, at, room);

    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
#endif
}

static void on_failed(void *ctx, struct redisReply *reply)
{
    struct redis_streaming s = *(struct redis_streaming *)ctx;

    (void)reply;
    free(ctx);
    s.sink->done(s.ctx, -ENOTCONN);
}

void redis_stream_fail(struct redis *r, struct redis_streaming *s)
{
    redis_deadline_paid(&s->owed);
    redis_fail(r, on_failed, s);
}

static void end_stream(struct redis *r, redisAsyncContext *ac)
{
    struct redis_streaming **at = redis_streaming_of(r), *s = *at;
    const char *refusal = s->sink->error(s->ctx);

    *at = NULL;
    redis_deadline_paid(&s->owed);
    redis_wire_divert(ac, NULL, NULL);
    if (refusal)
        redis_note_refusal(r, refusal);
    if (!redis_is_up(r)) {
        redis_stream_fail(r, s);
        return;
    }
    s->sink->done(s->ctx, 0);
    free(s);
}

static void on_bytes(void *ctx)
{
    struct redis *r = ctx;
    redisAsyncContext *ac = redis_connection(r);
    const struct redis_streaming *s = *redis_streaming_of(r);
    ssize_t n;
    size_t room;
    char *at;
    int rc;

    if (!ac) /* it is about to end; hiredis must not see the bytes as an unexpected reply */
        return;
    at = s->sink->room(s->ctx, &room);
    n = read_some(&ac->c, at, room);
    if (n < 0) {
        redis_wire_divert(ac, NULL, NULL);
        redisAsyncHandleRead(ac);
        return;
    }
    if (n)
        redis_deadline_heard(redis_deadline_of(r));
    rc = n ? s->sink->took(s->ctx, (size_t)n) : 0;
    if (rc < 0)
        redis_lose(r, "a reply that cannot be understood");
    else if (rc > 0)
        end_stream(r, ac);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    struct redis_streaming *s = alloc_zeroed(1, sizeof(*s)), **at = redis_streaming_of(r);
    redisAsyncContext *ac = redis_connection(r);
    struct redis_text text = {0};
    int rc = REDIS_ERR;

    must(!*at);
    *s = (struct redis_streaming){.sink = sink, .ctx = ctx};
    list_init(&s->owed.link);
    if (ac) {
        must(!ac->replies.head); /* otherwise their replies would be mixed with this one */
        redis_format(&text, argc, argv);
        rc = redisAppendFormattedCommand(&ac->c, text.p, text.to);
        free(text.p);
    }
    if (rc != REDIS_OK) {
        redis_stream_fail(r, s);
        return;
    }
    *at = s;
    redis_deadline_owe(redis_deadline_of(r), &s->owed, block_ms);
    redis_wire_divert(ac, on_bytes, r);
    ac->ev.addWrite(ac->ev.data);
}
