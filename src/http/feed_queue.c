/* SPDX-License-Identifier: MIT */
#include "feed_queue.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"

static struct feed_frame *frame_of(struct span text)
{
    struct feed_frame *f = alloc_zeroed(1, sizeof(*f) + text.n + 1);

    f->holds = 1;
    f->bytes = (uint32_t)text.n;
    memcpy(f->text, text.p, text.n);
    return f;
}

struct feed_frame *feed_frame_new(const char *name, const char *id, struct span data)
{
    struct feed_frame *f;
    struct buf text;

    must(!data.n || (!memchr(data.p, '\n', data.n) && !memchr(data.p, '\r', data.n)));
    buf_init(&text, data.n + 256);
    buf_printf(&text, "event: %s\n", name);
    if (id)
        buf_printf(&text, "id: %s\n", id);
    buf_put(&text, SPAN("data: "));
    buf_put(&text, data);
    buf_put(&text, SPAN("\n\n"));
    f = frame_of(buf_span(&text));
    buf_deinit(&text);
    return f;
}

struct feed_frame *feed_frame_comment(const char *text)
{
    char line[80];
    int n = snprintf(line, sizeof(line), ": %s\n\n", text);

    must(n > 0 && (size_t)n < sizeof(line));
    return frame_of(span_of(line, (size_t)n));
}

struct feed_frame *feed_frame_retry(uint32_t ms)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "retry: %" PRIu32 "\n\n", ms);

    must(n > 0 && (size_t)n < sizeof(line));
    return frame_of(span_of(line, (size_t)n));
}

struct feed_frame *feed_frame_hold(struct feed_frame *f)
{
    f->holds++;
    return f;
}

void feed_frame_drop(struct feed_frame *f)
{
    if (!f)
        return;
    must(f->holds > 0);
    if (--f->holds == 0)
        free(f);
}

static struct feed_frame *pop(struct feed_queue *q)
{
    struct feed_frame *f = q->at[q->first];

    q->at[q->first] = NULL;
    q->first = (q->first + 1) % FEED_QUEUE_MAX;
    q->count--;
    q->bytes -= f->bytes;
    return f;
}

void feed_queue_deinit(struct feed_queue *q)
{
    while (q->count)
        feed_frame_drop(pop(q));
    feed_frame_drop(q->now);
    *q = (struct feed_queue){.count = 0};
}

void feed_queue_put(struct feed_queue *q, struct feed_frame *f)
{
    /* What came before is told as lost before anything newer is sent. */
    if (q->count == FEED_QUEUE_MAX || f->bytes > FEED_QUEUE_BYTES - q->bytes || q->lost) {
        q->lost++;
        return;
    }
    q->at[(q->first + q->count++) % FEED_QUEUE_MAX] = feed_frame_hold(f);
    q->bytes += f->bytes;
}

void feed_queue_miss(struct feed_queue *q)
{
    q->lost_some = true;
}

static struct feed_frame *lost_frame(struct feed_queue *q)
{
    char data[48];
    int n = snprintf(data, sizeof(data), "{\"jobs\":%" PRIu64 "}", q->lost);

    if (q->lost_some)
        n = snprintf(data, sizeof(data), "{\"jobs\":null}");
    q->lost = 0;
    q->lost_some = false;
    return feed_frame_new("lost", NULL, span_of(data, (size_t)n));
}

static struct feed_frame *next_queued(struct feed_queue *q)
{
    if (q->count)
        return pop(q);
    return q->lost || q->lost_some ? lost_frame(q) : NULL;
}

static struct feed_frame *next_frame(struct feed_queue *q, feed_pull_cb *pull, void *ctx)
{
    struct feed_frame *f = q->pulled ? next_queued(q) : pull(ctx);

    if (f) {
        q->pulled = !q->pulled;
        return f;
    }
    return q->pulled ? pull(ctx) : next_queued(q);
}

size_t feed_queue_take(struct feed_queue *q, char *out, size_t room, feed_pull_cb *pull, void *ctx)
{
    size_t done = 0;

    while (done < room) {
        size_t n;

        if (!q->now)
            q->now = next_frame(q, pull, ctx);
        if (!q->now)
            break;
        n = min_u64(room - done, q->now->bytes - q->sent);
        memcpy(out + done, q->now->text + q->sent, n);
        done += n;
        q->sent += n;
        if (q->sent < q->now->bytes)
            break;
        feed_frame_drop(q->now);
        q->now = NULL;
        q->sent = 0;
    }
    return done;
}
