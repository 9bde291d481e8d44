/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"

struct large {
    struct list link; /* burials: one after the other, for each holds the whole entry */
    enum lane lane;
    uint32_t ttl_s;
    queue_step_cb *cb;
    void *ctx;
    struct queue_args kept; /* what the script reported, flat */
};

enum { ID, RECEIPT, TARGETS, REASON, TARGET, JOB, BURY_N }; /* from SCRIPT_SETTLE */
enum { MEMBER, LANE_NAME, FIELDS, RETURN_N };               /* from SCRIPT_DUE */

static struct span string_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? span_of(r->str, (size_t)r->len) : span_of("", 0);
}

static struct span kept(const struct large *l, size_t i)
{
    return span_of(l->kept.bytes + l->kept.at[i].offset, l->kept.at[i].n);
}

static struct large *new_large(const redisReply *item, size_t strings, queue_step_cb *cb, void *ctx)
{
    struct large *l = alloc_zeroed(1, sizeof(*l));

    must(item->type == REDIS_REPLY_ARRAY && item->elements >= strings);
    queue_args_init(&l->kept);
    for (size_t i = 0; i < strings; i++)
        queue_arg(&l->kept, string_of(item->element[i]));
    list_init(&l->link);
    l->cb = cb;
    l->ctx = ctx;
    return l;
}

static void look_up_first(struct queue *q);

static void end_large(struct queue *q, struct large *l, int err)
{
    bool burial = !list_empty(&l->link);

    list_remove(&l->link);
    if (burial)
        look_up_first(q);
    l->cb(q, l->ctx, err);
    queue_args_deinit(&l->kept);
    free(l);
}

static void on_last_step(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)reply;
    end_large(q, ctx, err);
}

/* XADD key * and the fields of a reply, with room for some more after them. */
static struct span *begin_xadd(const char *key, const redisReply *fields, size_t more, size_t *n)
{
    struct span *argv = alloc_zeroed(3 + fields->elements + more, sizeof(*argv));

    argv[0] = SPAN("XADD");
    argv[1] = span_str(key);
    argv[2] = SPAN("*");
    for (size_t i = 0; i < fields->elements; i++)
        argv[3 + i] = string_of(fields->element[i]);
    *n = 3 + fields->elements;
    return argv;
}

/* -- dead: look it up, write the letter, let the script do the rest -- */

static void on_letter_written(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    struct queue_args a;

    (void)reply;
    if (err) {
        end_large(q, l, err);
        return;
    }
    queue_begin_settle(q, &a, l->lane, l->ttl_s);
    queue_arg(&a, kept(l, ID));
    queue_arg(&a, SPAN("buried"));
    queue_arg(&a, kept(l, RECEIPT));
    queue_arg(&a, kept(l, TARGETS));
    queue_arg(&a, SPAN("0"));
    queue_arg(&a, kept(l, REASON));
    queue_arg(&a, kept(l, TARGET));
    queue_call_script(q, SCRIPT_SETTLE, &a, on_last_step, l);
}

static void write_letter(struct queue *q, struct large *l, const redisReply *fields)
{
    char at[24];
    size_t n;
    struct span *argv = begin_xadd(q->keys[KEY_DEAD], fields, 8, &n);

    snprintf(at, sizeof(at), "%llu", (unsigned long long)clock_wall_ms());
    argv[n++] = SPAN("dead_reason");
    argv[n++] = kept(l, REASON);
    argv[n++] = SPAN("dead_job");
    argv[n++] = kept(l, JOB);
    argv[n++] = SPAN("dead_at");
    argv[n++] = span_str(at);
    argv[n++] = SPAN("dead_target");
    argv[n++] = kept(l, TARGET);
    queue_call(q, q->writer, n, argv, on_letter_written, l);
    free(argv);
}

static void on_found(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    const redisReply *entry;

    if (err || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        end_large(q, l, err); /* gone: it ended meanwhile */
        return;
    }
    entry = reply->element[0];
    must(entry->elements == 2 && entry->element[1]->type == REDIS_REPLY_ARRAY);
    write_letter(q, l, entry->element[1]);
}

static void look_up_first(struct queue *q)
{
    struct large *l;
    struct span argv[4];

    if (list_empty(&q->burials))
        return;
    l = list_first(&q->burials, struct large, link);
    argv[0] = SPAN("XRANGE");
    argv[1] = span_str(q->keys[KEY_JOBS + l->lane]);
    argv[2] = argv[3] = kept(l, ID);
    queue_call(q, q->writer, array_len(argv), argv, on_found, l);
}

void queue_bury_large(struct queue *q, enum lane lane, uint32_t ttl_s,
                      const struct redisReply *item, queue_step_cb *cb, void *ctx)
{
    struct large *l = new_large(item, BURY_N, cb, ctx);
    bool first = list_empty(&q->burials);

    l->lane = lane;
    l->ttl_s = ttl_s;
    list_push_back(&q->burials, &l->link);
    if (first)
        look_up_first(q);
}

/* -- later: write it to its lane, take it off the set -- */

static void on_returned(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    struct span argv[] = {SPAN("ZREM"), span_str(q->keys[KEY_LATER]), kept(l, MEMBER)};

    (void)reply;
    if (err)
        end_large(q, l, err);
    else
        queue_call(q, q->writer, array_len(argv), argv, on_last_step, l);
}

void queue_return_large(struct queue *q, const struct redisReply *item, queue_step_cb *cb,
                        void *ctx)
{
    struct large *l = new_large(item, FIELDS, cb, ctx);
    struct span *argv;
    enum lane lane = LANE_NORMAL;
    size_t n;
    int err = lane_parse(kept(l, LANE_NAME), &lane);

    must(err == 0 && item->elements == RETURN_N); /* the script checked */
    argv = begin_xadd(q->keys[KEY_JOBS + lane], item->element[FIELDS], 0, &n);
    queue_call(q, q->writer, n, argv, on_returned, l);
    free(argv);
}
