/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "redis_internal.h"

/* The reader of other replies keeps a string in memory until it is complete, however long it is.
 * The bytes of this command's reply therefore bypass it. */

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

static void end_stream(struct redis *r)
{
    struct redis_streaming **at = redis_streaming_of(r), *s = *at;
    const char *refusal = s->sink->error(s->ctx);

    *at = NULL;
    redis_deadline_paid(&s->owed);
    if (refusal)
        redis_note_refusal(r, refusal);
    if (!redis_is_up(r)) {
        redis_stream_fail(r, s);
        return;
    }
    s->sink->done(s->ctx, 0);
    free(s);
}

void redis_stream_read(struct redis *r)
{
    struct redis_wire *w = redis_connection(r);
    const struct redis_streaming *s = *redis_streaming_of(r);
    size_t room, n;
    char *at;
    int rc;

    if (!w)
        return;
    at = s->sink->room(s->ctx, &room);
    n = redis_wire_read(w, at, room);
    if (n == 0)
        return;
    redis_deadline_heard(redis_deadline_of(r));
    rc = s->sink->took(s->ctx, n);
    if (rc < 0)
        redis_lose(r, "a reply that cannot be understood");
    else if (rc > 0)
        end_stream(r);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    struct redis_streaming *s = alloc_zeroed(1, sizeof(*s)), **at = redis_streaming_of(r);
    struct redis_wire *w = redis_connection(r);

    must(!*at);
    *s = (struct redis_streaming){.sink = sink, .ctx = ctx};
    list_init(&s->owed.link);
    if (!w) {
        redis_stream_fail(r, s);
        return;
    }
    must(!redis_is_owed(r)); /* otherwise their replies would be mixed with this one */
    *at = s;
    redis_deadline_owe(redis_deadline_of(r), &s->owed, block_ms);
    redis_wire_send(w, argc, argv);
}
