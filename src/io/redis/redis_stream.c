/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "redis_internal.h"

/* The reader of other replies keeps a string in memory until it is complete, however long it is.
 * The bytes of this command's reply therefore bypass it. */

static void free_stream(struct redis_streaming *s)
{
    free(s->text.p);
    free(s);
}

static void on_failed(void *ctx, struct redisReply *reply)
{
    struct redis_streaming s = *(struct redis_streaming *)ctx;

    (void)reply;
    free_stream(ctx);
    s.sink->done(s.ctx, -ENOTCONN);
}

void redis_stream_fail(struct redis *r, struct redis_streaming *s)
{
    redis_deadline_paid(&s->owed);
    redis_fail(r, on_failed, s);
}

static void end_stream(struct redis *r)
{
    struct redis_streaming *s = r->streaming;
    const char *refusal = s->sink->error(s->ctx);

    r->streaming = NULL;
    redis_deadline_paid(&s->owed);
    if (refusal)
        redis_note_refusal(r, refusal);
    if (!redis_connection(r)) {
        redis_stream_fail(r, s);
        return;
    }
    s->sink->done(s->ctx, 0);
    free_stream(s);
}

static void judge(struct redis *r, int rc)
{
    if (rc < 0)
        redis_lose(r, "a reply that cannot be understood");
    else if (rc > 0)
        end_stream(r);
}

/* -- a redirect, which the sink does not get to see -- */

/* Hands what was looked at to the sink. */
static void pass_line(struct redis *r)
{
    struct redis_streaming *s = r->streaming;
    size_t done = 0;
    int rc = 0;

    s->passed = true;
    while (rc == 0 && done < s->line_n) {
        size_t room;
        char *at = s->sink->room(s->ctx, &room);
        size_t n = min_u64(room, s->line_n - done);

        memcpy(at, s->line + done, n);
        done += n;
        rc = s->sink->took(s->ctx, n);
    }
    if (done < s->line_n)
        rc = -EPROTO;
    judge(r, rc);
}

/* Only what begins like an error is looked at, up to the end of the line. */
static void look(struct redis *r)
{
    struct redis_streaming *s = r->streaming;
    char *end = s->line[0] == '-' ? memchr(s->line, '\r', s->line_n) : NULL;
    bool whole = end && end + 2 <= s->line + s->line_n;

    if (s->line[0] == '-' && !whole && s->line_n < sizeof(s->line))
        return;
    if (whole) {
        *end = '\0';
        if (redis_follow_took_stream(r, s->line + 1)) {
            redis_deadline_paid(&s->owed);
            redis_follow_go(r);
            return;
        }
        *end = '\r';
    }
    pass_line(r);
}

static void read_beginning(struct redis *r)
{
    struct redis_streaming *s = r->streaming;
    size_t n = redis_wire_read(r->wire, s->line + s->line_n, sizeof(s->line) - s->line_n);

    s->line_n += n;
    if (n == 0)
        return;
    redis_deadline_heard(&r->deadline);
    look(r);
}

void redis_stream_again(struct redis *r)
{
    struct redis_streaming *s = r->streaming;

    s->line_n = 0;
    redis_deadline_owe(&r->deadline, &s->owed, s->block_ms);
    redis_wire_send_text(r->wire, span_of(s->text.p, s->text.to));
}

/* -- */

void redis_stream_read(struct redis *r)
{
    const struct redis_streaming *s = r->streaming;
    size_t room, n;
    char *at;

    if (!redis_connection(r))
        return;
    if (r->follow.on) {
        char nothing[1];

        if (redis_wire_read(r->wire, nothing, sizeof(nothing)))
            redis_lose(r, "it says what nobody asked for: is it Redis?");
        return;
    }
    if (r->follow.nodes && !s->passed) {
        read_beginning(r);
        return;
    }
    at = s->sink->room(s->ctx, &room);
    n = redis_wire_read(r->wire, at, room);
    if (n == 0)
        return;
    redis_deadline_heard(&r->deadline);
    judge(r, s->sink->took(s->ctx, n));
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    struct redis_streaming *s = alloc_zeroed(1, sizeof(*s));
    struct redis_wire *w = redis_connection(r);

    must(!r->streaming);
    *s = (struct redis_streaming){.sink = sink, .ctx = ctx, .block_ms = block_ms};
    list_init(&s->owed.link);
    if (!w || r->follow.on) {
        redis_stream_fail(r, s);
        return;
    }
    must(list_empty(&r->pending)); /* otherwise their replies would be mixed with this one */
    if (r->follow.nodes)
        redis_format(&s->text, argc, argv);
    r->streaming = s;
    redis_deadline_owe(&r->deadline, &s->owed, block_ms);
    redis_wire_send(w, argc, argv);
}
