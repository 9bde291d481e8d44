/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"

/* A call of queue_settle becomes script calls of at most SETTLE_CHUNK items of one lane and one
 * kind. Nearly all items are plain purges, whose entries need not be looked at. The order of items
 * does not matter, because they are independent. */

enum kind { KIND_DROP, KIND_PURGED, KIND_OTHER, KIND_N };

static const enum script script_of[KIND_N] = {
    [KIND_DROP] = SCRIPT_DROP, [KIND_PURGED] = SCRIPT_PURGED, [KIND_OTHER] = SCRIPT_SETTLE};

struct settling { /* one call of queue_settle */
    struct queue *q;
    uint32_t ttl_s;
    size_t open; /* calls and large entries under way, plus one while they are sent */
    int err;     /* of the first call that failed */
    queue_done_cb *cb;
    void *ctx;
};

struct settle_chunk { /* items for the next script call */
    struct settling *s;
    enum lane lane;
    enum kind kind;
    const struct queue_settle *items[SETTLE_CHUNK];
    size_t count, bytes;
};

static void release_one(struct settling *s, int err)
{
    if (err && s->err == 0)
        s->err = err;
    if (--s->open)
        return;
    s->cb(s->ctx, s->err);
    free(s);
}

static enum kind kind_of(const struct queue_settle *item)
{
    if (!item->plain || item->outcome != OUTCOME_PURGED || item->due_ms)
        return KIND_OTHER;
    return item->receipt ? KIND_PURGED : KIND_DROP;
}

static void on_large_ended(struct queue *q, void *ctx, int err)
{
    (void)q;
    release_one(ctx, err);
}

static void on_chunk(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        q->receipts_skipped += reply_u64(reply_at(reply, 1));
    release_one(ctx, err);
}

/* -- an entry that is too large to look at -- */

static void on_oversized(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        q->receipts_skipped += reply_u64(reply_at(reply, 1));
    release_one(ctx, err);
}

static void send_oversized(struct settling *s, const struct queue_settle *item)
{
    struct queue *q = s->q;
    struct queue_args a;

    queue_begin_settle(q, &a, item->lane, s->ttl_s);
    queue_arg_id(&a, item->id);
    queue_arg(&a, item->receipt ? SPAN("1") : SPAN("0"));
    queue_arg(&a, item->reason);
    for (size_t i = 0; i < item->fields_count; i++)
        queue_arg(&a, item->fields[i]);
    s->open++;
    queue_call_script(q, SCRIPT_OVERSIZED, &a, on_oversized, s);
}

/* -- arguments of the scripts -- */

static bool all_have_one(const struct settle_chunk *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i]->targets != 1)
            return false;
    return true;
}

static void put_ids(struct queue_args *a, const struct settle_chunk *c)
{
    if (c->kind == KIND_PURGED) {
        queue_arg_u64(a, c->s->ttl_s);
        queue_arg_u64(a, c->count);
    }
    for (size_t i = 0; i < c->count; i++)
        queue_arg_id(a, c->items[i]->id);
    if (c->kind != KIND_PURGED || all_have_one(c))
        return;
    for (size_t i = 0; i < c->count; i++)
        queue_arg_u64(a, c->items[i]->targets);
}

static void put_item(struct queue_args *a, const struct queue_settle *item)
{
    queue_arg_id(a, item->id);
    queue_arg(a, span_str(outcome_names[item->outcome]));
    queue_arg(a, item->receipt ? SPAN("1") : SPAN("0"));
    queue_arg_u64(a, item->targets);
    queue_arg_u64(a, item->due_ms);
    queue_arg(a, item->reason);
    queue_arg(a, item->outcome == OUTCOME_PURGED ? item->proof : item->target);
    queue_arg(a, item->services);
}

void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane, uint32_t ttl_s)
{
    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + lane]);
    queue_key(a, q->keys[KEY_RECEIPT]);
    queue_key(a, q->keys[KEY_POSTPONED]);
    queue_key(a, q->keys[KEY_POSTPONED_JOBS]);
    queue_key(a, q->keys[KEY_PLACES]);
    queue_key(a, q->keys[KEY_DEAD]);
    queue_arg(a, span_str(lane_names[lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
    queue_arg_u64(a, ttl_s);
}

static void begin_plain(struct queue *q, struct queue_args *a, const struct settle_chunk *c)
{
    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + c->lane]);
    if (c->kind == KIND_PURGED)
        queue_key(a, q->keys[KEY_RECEIPT]);
    queue_arg(a, span_str(lane_names[c->lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
}

static void send_chunk(struct settle_chunk *c)
{
    struct queue *q = c->s->q;
    struct queue_args a;

    if (c->kind == KIND_OTHER) {
        queue_begin_settle(q, &a, c->lane, c->s->ttl_s);
        queue_arg_u64(&a, clock_wall_ms()); /* queue_due uses this clock for repeats, too */
        for (size_t i = 0; i < c->count; i++)
            put_item(&a, c->items[i]);
    } else {
        begin_plain(q, &a, c);
        put_ids(&a, c);
    }
    c->s->open++;
    queue_call_script(q, script_of[c->kind], &a, on_chunk, c->s);
    c->count = c->bytes = 0;
}

static void add_item(struct settle_chunk *c, const struct queue_settle *item)
{
    size_t most = c->kind == KIND_OTHER ? SETTLE_CHUNK_LOOKED : SETTLE_CHUNK;

    if (c->count == most || c->bytes > SETTLE_CHUNK_BYTES)
        send_chunk(c);
    c->items[c->count++] = item;
    c->bytes += item->reason.n + item->target.n + item->proof.n + item->services.n;
}

void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  uint32_t receipt_ttl_s, queue_done_cb *cb, void *ctx)
{
    struct settling *s = alloc_zeroed(1, sizeof(*s));
    struct settle_chunk *chunks = alloc_zeroed(LANE_N * KIND_N, sizeof(*chunks));

    must(count > 0);
    *s = (struct settling){q, receipt_ttl_s ? receipt_ttl_s : 1, 1, 0, cb, ctx};
    for (size_t i = 0; i < LANE_N * KIND_N; i++) {
        chunks[i].s = s;
        chunks[i].lane = (enum lane)(i / KIND_N);
        chunks[i].kind = (enum kind)(i % KIND_N);
    }
    for (size_t i = 0; i < count; i++) {
        enum kind kind = kind_of(&items[i]);

        if (items[i].oversized) {
            send_oversized(s, &items[i]);
        } else if (kind == KIND_OTHER && items[i].large) {
            s->open++;
            queue_end_large(q, &items[i], s->ttl_s, on_large_ended, s);
        } else {
            add_item(&chunks[items[i].lane * KIND_N + kind], &items[i]);
        }
    }
    for (size_t i = 0; i < LANE_N * KIND_N; i++)
        if (chunks[i].count)
            send_chunk(&chunks[i]);
    free(chunks);
    s->open--; /* at least one call is under way, and none is answered before we return */
}
