/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "history_line.h"
#include "history_span.h"
#include "queue_internal.h"
#include "scripts.h"

/* A call of queue_settle becomes script calls of at most SETTLE_CHUNK items of one lane and one
 * kind. Nearly all items are plain purges, whose entries need not be looked at. With a history,
 * that is so if we know the job's only target, or if the entry is too large to be looked at. The
 * order of items does not matter, because they are independent. */

enum kind { KIND_DROP, KIND_PURGED, KIND_OTHER, KIND_N };

struct settling { /* one call of queue_settle */
    struct queue *q;
    struct queue_keep keep;
    size_t open; /* calls and large entries under way, plus one while they are sent */
    int err;     /* of the first call that failed */
    struct queue_leaving *leaving;
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
    queue_leaving_end(s->q, s->leaving, s->err);
    s->cb(s->ctx, s->err);
    free(s);
}

static enum kind kind_of(const struct settling *s, const struct queue_settle *item)
{
    bool known = item->named || item->large || !s->keep.history_jobs;

    if (s->keep.inside && !history_span_fits(item->id.ms, item->id.seq))
        return KIND_OTHER;
    if (!item->plain || item->outcome != OUTCOME_PURGED || item->due_ms || !known)
        return KIND_OTHER;
    return item->receipt ? KIND_PURGED : KIND_DROP;
}

void queue_count_skipped(struct queue *q, const struct redisReply *reply)
{
    q->receipts_skipped += reply_u64(reply_at(reply, 1));
    q->history_skipped += reply_u64(reply_at(reply, 2));
}

static void on_large_ended(struct queue *q, void *ctx, int err)
{
    (void)q;
    release_one(ctx, err);
}

static void on_chunk(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        queue_count_skipped(q, reply);
    release_one(ctx, err);
}

/* -- an entry that is too large to look at -- */

static void on_oversized(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        queue_count_skipped(q, reply);
    release_one(ctx, err);
}

static void send_oversized(struct settling *s, const struct queue_settle *item)
{
    struct queue *q = s->q;
    struct queue_args a;

    queue_begin_settle(q, &a, item->lane, &s->keep);
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

static void put_front(struct queue_args *a, const struct settle_chunk *c)
{
    const struct queue_lane *lane = &c->s->q->lanes[c->lane];
    bool may = queue_front_may_be_read(lane, c->items[c->count - 1]->id);

    queue_arg(a, may ? SPAN("1") : SPAN("0"));
}

/* Whether the members of a purge end with this one, which has a text. */
static bool ends_with(struct span purge, struct span member)
{
    return member.n && purge.n >= member.n &&
           memcmp(purge.p + purge.n - member.n, member.p, member.n) == 0;
}

static void put_run(struct buf *out, size_t jobs, struct span by)
{
    buf_put_u64(out, jobs);
    if (by.n)
        buf_putc(out, ',');
    buf_put(out, by);
    buf_putc(out, '\n');
}

/* Who pushed the jobs, for receipts that are keys: purged.lua. Most often, all are one's. */
static void put_pushers(struct queue_args *a, const struct settle_chunk *c)
{
    bool wanted = c->kind == KIND_PURGED && !c->s->keep.inside;
    struct span by = SPAN("");
    struct buf runs;
    size_t jobs = 0;

    buf_init(&runs, SETTLE_CHUNK * (size_t)(6 * JOB_BY_MAX_BYTES + 30));
    for (size_t i = 0; wanted && i < c->count; i++, jobs++) {
        struct span purge = c->items[i]->purge, next;

        next = ends_with(purge, by) ? by : history_by_member(purge);
        if (jobs && !span_eq(next, by)) {
            put_run(&runs, jobs, by);
            jobs = 0;
        }
        by = next;
    }
    if (by.n || runs.n)
        put_run(&runs, jobs, by);
    queue_arg(a, buf_span(&runs));
    buf_deinit(&runs);
}

/* The ranges of the jobs' ids, for receipts in the history. */
static void put_ranges(struct queue_args *a, const struct settle_chunk *c)
{
    struct history_spans spans = {.count = 0};

    for (size_t i = 0; c->kind == KIND_PURGED && c->s->keep.inside && i < c->count; i++)
        history_spans_add(&spans, c->items[i]->id.ms, c->items[i]->id.seq);
    queue_arg_u64(a, spans.count);
    queue_arg_u64(a, c->count);
    put_front(a, c);
    put_pushers(a, c);
    for (size_t i = 0; i < spans.count; i++) {
        const struct history_span *at = &spans.at[i];

        queue_arg_u64(a, at->first_ms / HISTORY_SPAN_MS * (HISTORY_SPAN_MS / 1000));
        queue_arg_u64(a, history_span_score(at->last_ms, at->last_seq));
        queue_arg_id(a, (struct entry_id){at->first_ms, at->first_seq});
    }
}

/* The lines of the jobs in the history, as receipt.lua writes them for jobs that are not plain. */
static void put_lines(struct queue_args *a, const struct settle_chunk *c)
{
    struct buf lines;

    buf_init(&lines, SETTLE_CHUNK * (QUEUE_JOB_MAX + 80) + SETTLE_CHUNK_BYTES + HISTORY_PURGE_MAX);
    for (size_t i = 0; c->s->keep.history_jobs && i < c->count; i++) {
        const struct queue_settle *item = c->items[i];

        buf_put(&lines, SPAN("{\"job\":\""));
        buf_put(&lines, span_str(lane_names[item->lane]));
        buf_putc(&lines, '-');
        buf_put_u64(&lines, item->id.ms);
        buf_putc(&lines, '-');
        buf_put_u64(&lines, item->id.seq);
        buf_put(&lines, SPAN("\",\"state\":\"purged\""));
        if (item->targets != 1) {
            buf_put(&lines, SPAN(",\"targets\":"));
            buf_put_u64(&lines, item->targets);
        }
        buf_put(&lines, SPAN(",\"purge\":{"));
        buf_put(&lines, item->purge);
        buf_put(&lines, SPAN("}}\n"));
    }
    queue_arg(a, buf_span(&lines));
    buf_deinit(&lines);
}

static void put_ids(struct queue_args *a, const struct settle_chunk *c)
{
    for (size_t i = 0; i < c->count; i++)
        queue_arg_id(a, c->items[i]->id);
}

static void put_counts(struct queue_args *a, const struct settle_chunk *c)
{
    for (size_t i = 0; i < c->count && !all_have_one(c); i++)
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
    queue_arg(a, item->purge);
}

const char *queue_history_arg(const struct queue_keep *keep, char text[QUEUE_HISTORY_ROOM])
{
    *text = '\0';
    if (keep->history_jobs)
        snprintf(text, QUEUE_HISTORY_ROOM, "%" PRIu32 ":%" PRIu32 ":%s", keep->history_jobs,
                 keep->history_ttl_s, keep->inside ? "history" : "keys");
    return text;
}

void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane,
                        const struct queue_keep *keep)
{
    char text[QUEUE_HISTORY_ROOM];

    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + lane]);
    queue_key(a, q->keys[KEY_RECEIPT]);
    queue_key(a, q->keys[KEY_POSTPONED]);
    queue_key(a, q->keys[KEY_POSTPONED_JOBS]);
    queue_key(a, q->keys[KEY_PLACES]);
    queue_key(a, q->keys[KEY_DEAD]);
    queue_key(a, q->keys[KEY_HISTORY]);
    queue_arg(a, span_str(lane_names[lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
    queue_arg_u64(a, keep->receipt_ttl_s);
    queue_arg(a, span_str(queue_history_arg(keep, text)));
}

static void fill_looked(struct queue_args *a, const struct settle_chunk *c)
{
    queue_begin_settle(c->s->q, a, c->lane, &c->s->keep);
    queue_arg_u64(a, clock_wall_ms()); /* queue_due uses this clock for repeats, too */
    for (size_t i = 0; i < c->count; i++)
        put_item(a, c->items[i]);
}

static void fill_purged(struct queue_args *a, const struct settle_chunk *c)
{
    char text[QUEUE_HISTORY_ROOM];
    struct queue *q = c->s->q;

    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + c->lane]);
    queue_key(a, q->keys[KEY_RECEIPT]);
    queue_key(a, q->keys[KEY_HISTORY]);
    queue_arg(a, span_str(lane_names[c->lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
    queue_arg_u64(a, c->s->keep.receipt_ttl_s);
    queue_arg(a, span_str(queue_history_arg(&c->s->keep, text)));
    queue_arg(a, c->kind == KIND_PURGED ? SPAN("1") : SPAN("0"));
    put_lines(a, c);
    put_ranges(a, c);
    put_ids(a, c);
    put_counts(a, c);
}

static void fill_dropped(struct queue_args *a, const struct settle_chunk *c)
{
    struct queue *q = c->s->q;

    queue_args_init(a);
    queue_key(a, q->keys[KEY_JOBS + c->lane]);
    queue_arg(a, span_str(lane_names[c->lane]));
    queue_arg(a, span_str(q->keys[KEY_SETTLED]));
    put_front(a, c);
    put_ids(a, c);
}

static enum script script_for(const struct settle_chunk *c)
{
    if (c->kind == KIND_OTHER)
        return SCRIPT_SETTLE;
    return c->kind == KIND_PURGED || c->s->keep.history_jobs ? SCRIPT_PURGED : SCRIPT_DROP;
}

static int by_id(const void *a, const void *b)
{
    const struct queue_settle *const *x = a, *const *y = b;

    return queue_id_compare((*x)->id, (*y)->id);
}

/* In the order of the lane, in which remove.lua finds them at the front. Most often they are. */
static void sort_chunk(struct settle_chunk *c)
{
    for (size_t i = 1; i < c->count; i++) {
        if (queue_id_compare(c->items[i - 1]->id, c->items[i]->id) > 0) {
            qsort(c->items, c->count, sizeof(c->items[0]), by_id);
            return;
        }
    }
}

static void send_chunk(struct settle_chunk *c)
{
    enum script script = script_for(c);
    struct queue_args a;

    if (script != SCRIPT_SETTLE)
        sort_chunk(c);
    if (script == SCRIPT_SETTLE)
        fill_looked(&a, c);
    else if (script == SCRIPT_PURGED)
        fill_purged(&a, c);
    else
        fill_dropped(&a, c);
    c->s->open++;
    queue_call_script(c->s->q, script, &a, on_chunk, c->s);
    c->count = c->bytes = 0;
}

static void add_item(struct settle_chunk *c, const struct queue_settle *item)
{
    size_t most = c->kind == KIND_OTHER ? SETTLE_CHUNK_LOOKED : SETTLE_CHUNK;

    if (c->count == most || c->bytes > SETTLE_CHUNK_BYTES)
        send_chunk(c);
    c->items[c->count++] = item;
    c->bytes += item->reason.n + item->target.n + item->proof.n + item->services.n + item->purge.n;
}

void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  const struct queue_keep *keep, queue_done_cb *cb, void *ctx)
{
    struct settling *s = alloc_zeroed(1, sizeof(*s));
    struct settle_chunk *chunks = alloc_zeroed(LANE_N * KIND_N, sizeof(*chunks));

    must(count > 0);
    *s = (struct settling){q, *keep, 1, 0, queue_leaving_new(q, items, count), cb, ctx};
    s->keep.receipt_ttl_s += s->keep.receipt_ttl_s == 0;
    for (size_t i = 0; i < LANE_N * KIND_N; i++) {
        chunks[i].s = s;
        chunks[i].lane = (enum lane)(i / KIND_N);
        chunks[i].kind = (enum kind)(i % KIND_N);
    }
    for (size_t i = 0; i < count; i++) {
        enum kind kind = kind_of(s, &items[i]);

        if (items[i].oversized) {
            send_oversized(s, &items[i]);
        } else if (kind == KIND_OTHER && items[i].large) {
            s->open++;
            queue_end_large(q, &items[i], &s->keep, on_large_ended, s);
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

/* -- acts -- */

static void on_noted(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)q, (void)ctx, (void)err, (void)reply;
}

void queue_note(struct queue *q, const struct queue_keep *keep, struct span line)
{
    char past[QUEUE_HISTORY_ROOM], *size = alloc_printf("%s:size", q->keys[KEY_HISTORY]);
    const struct span argv[] = {SPAN("EVAL"),
                                span_str(scripts[SCRIPT_ACT].text),
                                SPAN("2"),
                                span_str(q->keys[KEY_HISTORY]),
                                span_str(size),
                                span_str(queue_history_arg(keep, past)),
                                line};

    queue_call_courtesy(q, array_len(argv), argv, on_noted, NULL);
    free(size);
}
