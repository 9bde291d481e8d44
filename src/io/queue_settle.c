/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"

/* One call of the caller becomes script calls of at most SETTLE_CHUNK items of one lane and one
 * kind: plain purges, nearly all there are, need no look at their entry. The order among items does
 * not matter: each stands for itself. */

enum kind { KIND_DROP, KIND_PURGED, KIND_OTHER, KIND_N };

static const enum queue_script script_of[KIND_N] = {
    [KIND_DROP] = SCRIPT_DROP, [KIND_PURGED] = SCRIPT_PURGED, [KIND_OTHER] = SCRIPT_SETTLE};

struct settling { /* one queue_settle */
    struct queue *q;
    uint32_t ttl_s;
    size_t open; /* script calls and large entries under way, and one while they are being sent */
    int err;     /* of the first that failed */
    queue_done_cb *cb;
    void *ctx;
};

struct chunk { /* being filled */
    struct settling *s;
    enum lane lane;
    enum kind kind;
    const struct queue_settle *items[SETTLE_CHUNK];
    size_t count, bytes;
};

struct sent { /* a chunk under way */
    struct settling *s;
    enum lane lane;
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

static uint64_t integer_at(const redisReply *r, size_t i)
{
    if (r->type != REDIS_REPLY_ARRAY || i >= r->elements ||
        r->element[i]->type != REDIS_REPLY_INTEGER || r->element[i]->integer < 0)
        return 0;
    return (uint64_t)r->element[i]->integer;
}

static void on_large_buried(struct queue *q, void *ctx, int err)
{
    (void)q;
    release_one(ctx, err);
}

static void on_chunk(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct sent sent = *(struct sent *)ctx;

    free(ctx);
    if (err == 0) {
        q->receipts_skipped += integer_at(reply, 1);
        for (size_t i = 2; i < reply->elements; i++) {
            sent.s->open++;
            queue_bury_large(q, sent.lane, sent.s->ttl_s, reply->element[i], on_large_buried,
                             sent.s);
        }
    }
    release_one(sent.s, err);
}

/* -- an entry that is too large to look at -- */

static void on_oversized(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        q->receipts_skipped += integer_at(reply, 1);
    release_one(ctx, err);
}

static void send_oversized(struct settling *s, const struct queue_settle *item)
{
    struct queue *q = s->q;
    struct queue_args a;

    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_JOBS + item->lane]);
    queue_key(&a, q->keys[KEY_RECEIPT]);
    queue_key(&a, q->keys[KEY_DEAD]);
    queue_arg(&a, span_str(lane_names[item->lane]));
    queue_arg(&a, span_str(q->keys[KEY_SETTLED]));
    queue_arg_u64(&a, s->ttl_s);
    queue_arg_id(&a, item->id);
    queue_arg(&a, item->receipt ? SPAN("1") : SPAN("0"));
    queue_arg(&a, item->reason);
    for (size_t i = 0; i < item->fields_count; i++)
        queue_arg(&a, item->fields[i]);
    s->open++;
    queue_call_script(q, SCRIPT_OVERSIZED, &a, on_oversized, s);
}

/* -- arguments, as the scripts want them -- */

static bool all_have_one(const struct chunk *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i]->targets != 1)
            return false;
    return true;
}

static void put_plain(struct queue_args *a, const struct chunk *c)
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
    queue_arg(a, item->target);
}

void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane, uint32_t ttl_s)
{
    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + lane]);
    queue_key(a, q->keys[KEY_RECEIPT]);
    queue_key(a, q->keys[KEY_DEAD]);
    queue_key(a, q->keys[KEY_LATER]);
    queue_arg(a, span_str(lane_names[lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
    queue_arg_u64(a, ttl_s);
    queue_arg_u64(a, QUEUE_SCRIPT_FIELDS_MAX);
    queue_arg_u64(a, clock_wall_ms()); /* repeats are due by it, as queue_due goes by it */
}

static void begin_plain(struct queue *q, struct queue_args *a, const struct chunk *c)
{
    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + c->lane]);
    if (c->kind == KIND_PURGED)
        queue_key(a, q->keys[KEY_RECEIPT]);
    queue_arg(a, span_str(lane_names[c->lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
}

static void send_chunk(struct chunk *c)
{
    struct queue *q = c->s->q;
    struct sent *sent = alloc_zeroed(1, sizeof(*sent));
    struct queue_args a;

    *sent = (struct sent){c->s, c->lane};
    if (c->kind == KIND_OTHER) {
        queue_begin_settle(q, &a, c->lane, c->s->ttl_s);
        for (size_t i = 0; i < c->count; i++)
            put_item(&a, c->items[i]);
    } else {
        begin_plain(q, &a, c);
        put_plain(&a, c);
    }
    c->s->open++;
    queue_call_script(q, script_of[c->kind], &a, on_chunk, sent);
    c->count = c->bytes = 0;
}

static void add_item(struct chunk *c, const struct queue_settle *item)
{
    if (c->count == SETTLE_CHUNK || c->bytes > SETTLE_CHUNK_BYTES)
        send_chunk(c);
    c->items[c->count++] = item;
    c->bytes += item->reason.n + item->target.n;
}

void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  uint32_t receipt_ttl_s, queue_done_cb *cb, void *ctx)
{
    struct settling *s = alloc_zeroed(1, sizeof(*s));
    struct chunk *chunks = alloc_zeroed(LANE_N * KIND_N, sizeof(*chunks));

    must(count > 0);
    *s = (struct settling){q, receipt_ttl_s ? receipt_ttl_s : 1, 1, 0, cb, ctx};
    for (size_t i = 0; i < LANE_N * KIND_N; i++) {
        chunks[i].s = s;
        chunks[i].lane = (enum lane)(i / KIND_N);
        chunks[i].kind = (enum kind)(i % KIND_N);
    }
    for (size_t i = 0; i < count; i++)
        if (items[i].oversized)
            send_oversized(s, &items[i]);
        else
            add_item(&chunks[items[i].lane * KIND_N + kind_of(&items[i])], &items[i]);
    for (size_t i = 0; i < LANE_N * KIND_N; i++)
        if (chunks[i].count)
            send_chunk(&chunks[i]);
    free(chunks);
    s->open--; /* at least one chunk is out, and none answers before this returned */
}

/* -- later -- */

struct moving {
    queue_due_cb *cb;
    void *ctx;
    uint32_t moved;
    uint64_t next_due_ms;
    size_t open; /* as in struct settling */
    int err;
};

static uint64_t next_due(const redisReply *r)
{
    uint64_t ms;

    if (r->type != REDIS_REPLY_STRING || span_to_u64(span_of(r->str, (size_t)r->len), &ms) < 0)
        return NEVER;
    return ms;
}

static void moved_some(struct moving *m, int err, uint32_t moved)
{
    if (err && m->err == 0)
        m->err = err;
    else
        m->moved += moved;
    if (--m->open)
        return;
    m->cb(m->ctx, m->err, m->moved, m->err ? NEVER : m->next_due_ms);
    free(m);
}

static void on_large_returned(struct queue *q, void *ctx, int err)
{
    (void)q;
    moved_some(ctx, err, 1);
}

static void on_due(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct moving *m = ctx;

    if (err == 0 && (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2))
        err = -EIO;
    if (err == 0)
        m->next_due_ms = next_due(reply->element[1]);
    for (size_t i = 2; err == 0 && i < reply->elements; i++) {
        m->open++;
        queue_return_large(q, reply->element[i], on_large_returned, m);
    }
    moved_some(m, err, err ? 0 : (uint32_t)integer_at(reply, 0));
}

void queue_due(struct queue *q, uint64_t wall_ms, uint32_t limit, queue_due_cb *cb, void *ctx)
{
    struct moving *m = alloc_zeroed(1, sizeof(*m));
    struct queue_args a;

    m->cb = cb;
    m->ctx = ctx;
    m->open = 1;
    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_LATER]);
    queue_key(&a, q->keys[KEY_DEAD]);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_key(&a, q->keys[KEY_JOBS + lane]);
    queue_arg_u64(&a, wall_ms);
    queue_arg_u64(&a, min_u64(limit, 1000));
    queue_arg_u64(&a, QUEUE_SCRIPT_FIELDS_MAX);
    queue_call_script(q, SCRIPT_DUE, &a, on_due, m);
}
