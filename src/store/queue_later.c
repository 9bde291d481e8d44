/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"
#include "queue_pack.h"

/* Version 0.1.0 kept the whole job as the member of a sorted set, `later`, so nobody could find it
 * by its id. Each call of queue_due moves a page of what it left there. A page should have this
 * size; how many jobs that is, is estimated from the page before. */
#define ADOPT_BYTES (64u * 1024)
#define ADOPT_MAX 64u

struct moving {
    queue_due_cb *cb;
    void *ctx;
    uint32_t moved, left;
    uint64_t wall_ms, next_due_ms;
    size_t open; /* scripts and large jobs under way */
    int err;
};

static void one_done(struct moving *m, int err, uint32_t moved)
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
    one_done(ctx, err, 1);
}

static void on_large_adopted(struct queue *q, void *ctx, int err)
{
    (void)q;
    one_done(ctx, err, 0);
}

/* -- what is due -- */

static void ask_due(struct queue *q, struct moving *m);

/* One script moves only a limited number of jobs. The rest is requested again, so that other
 * commands can run in between. Large jobs stay due until they are back in their lanes. */
static int take_due(struct queue *q, struct moving *m, const struct redisReply *reply)
{
    uint64_t next = NEVER;
    uint32_t moved;

    if (reply_count(reply) < 2 || !reply_is_integer(reply_at(reply, 0)))
        return -EIO;
    if (span_to_u64(reply_text(reply_at(reply, 1)), &next) < 0)
        next = NEVER;
    moved = (uint32_t)min_u64(reply_u64(reply_at(reply, 0)), UINT32_MAX);
    m->moved += moved;
    m->left -= (uint32_t)min_u64(moved, m->left);
    for (size_t i = 2; i < reply_count(reply); i++) {
        m->open++;
        queue_return_large(q, reply_text(reply_at(reply, i)), on_large_returned, m);
    }
    if (reply_count(reply) == 2 && moved && m->left && next <= m->wall_ms)
        ask_due(q, m);
    else
        m->next_due_ms = min_u64(m->next_due_ms, next);
    return 0;
}

static void on_due(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    one_done(ctx, err ? err : take_due(q, ctx, reply), 0);
}

static void ask_due(struct queue *q, struct moving *m)
{
    struct queue_args a;

    m->open++;
    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_POSTPONED]);
    queue_key(&a, q->keys[KEY_POSTPONED_JOBS]);
    queue_key(&a, q->keys[KEY_PLACES]);
    queue_key(&a, q->keys[KEY_DEAD]);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_key(&a, q->keys[KEY_JOBS + lane]);
    queue_arg_u64(&a, m->wall_ms);
    queue_arg_u64(&a, min_u64(m->left, DUE_CHUNK));
    queue_arg_u64(&a, QUEUE_SMALL_BYTES);
    queue_arg_u64(&a, SCRIPT_ARGS_MAX);
    queue_call_script(q, SCRIPT_DUE, &a, on_due, m);
}

/* -- jobs postponed by 0.1.0 -- */

static void on_page_adopted(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)q, (void)reply;
    one_done(ctx, err, 0);
}

/* Adds the arguments for one member: its score, its name, another name in case the first is taken,
 * and the member itself. */
static void put_member(struct queue_args *a, struct span score, struct span member)
{
    struct packed_job job;
    char other[QUEUE_NAME_MAX];

    queue_arg(a, score);
    if (queue_unpack(member, &job) < 0 || job.job.n >= QUEUE_JOB_MAX) {
        queue_arg(a, SPAN(""));
        queue_arg(a, SPAN(""));
    } else {
        snprintf(other, sizeof(other), "%.*s@%s-%.*s", (int)job.job.n, job.job.p,
                 lane_names[job.lane], (int)min_u64(job.entry.n, 48), job.entry.p);
        queue_arg(a, job.job);
        queue_arg(a, span_str(other));
        free(job.fields);
    }
    queue_arg(a, member);
}

static void adopt_page(struct queue *q, struct moving *m, const struct redisReply *page)
{
    size_t bytes = 0, small = 0, count = reply_count(page) / 2;
    struct queue_args a;

    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_LATER]);
    queue_key(&a, q->keys[KEY_POSTPONED]);
    queue_key(&a, q->keys[KEY_POSTPONED_JOBS]);
    queue_key(&a, q->keys[KEY_DEAD]);
    for (size_t i = 0; i < count; i++) {
        struct span member = reply_text(reply_at(page, 2 * i));
        struct span score = reply_text(reply_at(page, 2 * i + 1));

        bytes += member.n;
        m->open++;
        if (member.n > QUEUE_SMALL_BYTES || a.n > 2 * ADOPT_BYTES) {
            queue_adopt_large(q, score, member, on_large_adopted, m);
        } else {
            put_member(&a, score, member);
            m->open -= small++ > 0; /* the small ones share one script call */
        }
    }
    q->adopt_page = (uint32_t)max_u64(
        1, min_u64(ADOPT_BYTES / max_u64(bytes / count, 1), min_u64(count * 4, ADOPT_MAX)));
    if (small)
        queue_call_script(q, SCRIPT_ADOPT, &a, on_page_adopted, m);
    queue_args_deinit(&a);
}

static void on_page(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct moving *m = ctx;

    if (err == 0 && reply_count(reply) >= 2) {
        m->next_due_ms = m->wall_ms; /* there is more to do at once */
        adopt_page(q, m, reply);
    } else if (err == 0) {
        q->adopted = true;
    }
    one_done(m, err, 0);
}

static void ask_page(struct queue *q, struct moving *m)
{
    char last[16];

    m->open++;
    q->adopt_page += q->adopt_page == 0;
    snprintf(last, sizeof(last), "%" PRIu32, q->adopt_page - 1);
    queue_call(q, 5,
               (const struct span[]){SPAN("ZRANGE"), span_str(q->keys[KEY_LATER]), SPAN("0"),
                                     span_str(last), SPAN("WITHSCORES")},
               on_page, m);
}

void queue_due(struct queue *q, uint64_t wall_ms, uint32_t limit, queue_due_cb *cb, void *ctx)
{
    struct moving *m = alloc_zeroed(1, sizeof(*m));

    *m = (struct moving){
        .cb = cb, .ctx = ctx, .left = limit, .wall_ms = wall_ms, .next_due_ms = NEVER};
    if (!q->adopted)
        ask_page(q, m);
    ask_due(q, m);
}
