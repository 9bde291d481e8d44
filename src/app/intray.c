/* SPDX-License-Identifier: MIT */
#include "intray.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "job.h"
#include "rediskey.h"

#define ARGV_FEW 64
/* Visitors are told after five seconds that it is not known; so long may what they left behind wait
 * for Redis. */
#define PATIENCE_MS 10000u

struct intray {
    struct redis *redis;
    struct span *argv; /* scratch */
    size_t argv_room;
    uint64_t under_way;
    loop_cb *up;
    void *ctx;
};

struct put {
    struct intray *intray;
    enum lane lane;
    intray_cb *cb;
    void *ctx;
};

/* KEYS stream once. ARGV same ttl_s lane field value field value ... The job and its mark are
 * written together, so of many equal requests at once exactly one makes a job. */
static const char put_once[] =
    "local old = redis.call('GET', KEYS[2])\n"
    "if old then\n"
    "  local same, job = old:match('^(%S+) (%S+)$')\n"
    "  return {same == ARGV[1] and 'repeated' or 'conflict', job}\n"
    "end\n"
    "local job = ARGV[3] .. '-' .. redis.call('XADD', KEYS[1], '*', unpack(ARGV, 4))\n"
    "redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. job, 'EX', ARGV[2])\n"
    "return {'new', job}\n";

static void on_up(void *ctx)
{
    struct intray *t = ctx;

    t->up(t->ctx);
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    (void)why; /* the dispatcher, on its connections to the same Redis, says so */
}

struct intray *intray_new(struct loop *l, const struct redis_address *a, loop_cb *up, void *ctx)
{
    struct intray *t = alloc_zeroed(1, sizeof(*t));

    t->up = up;
    t->ctx = ctx;
    t->redis = redis_new(l, a, on_up, on_down, t);
    redis_set_patience(t->redis, PATIENCE_MS);
    t->argv_room = ARGV_FEW;
    t->argv = alloc_zeroed(t->argv_room, sizeof(*t->argv));
    return t;
}

struct closing {
    struct intray *intray;
    loop_cb *closed;
    void *ctx;
};

static void on_closed(void *ctx)
{
    struct closing *c = ctx;

    must(c->intray->under_way == 0);
    free(c->intray->argv);
    free(c->intray);
    c->closed(c->ctx);
    free(c);
}

void intray_close(struct intray *t, loop_cb *closed, void *ctx)
{
    struct closing *c = alloc_zeroed(1, sizeof(*c));

    *c = (struct closing){t, closed, ctx};
    redis_close(t->redis, on_closed, c);
}

bool intray_is_up(const struct intray *t)
{
    return redis_is_up(t->redis);
}

uint64_t intray_under_way(const struct intray *t)
{
    return t->under_way;
}

struct redis *intray_redis(struct intray *t)
{
    return t->redis;
}

static void finish(struct put *p, const struct intray_result *r)
{
    p->intray->under_way--;
    p->cb(p->ctx, r);
    free(p);
}

static bool failed(struct put *p, const struct redisReply *reply)
{
    struct intray_result r = {INTRAY_UNKNOWN, NULL, "the connection to Redis broke"};

    if (reply && !reply_refused(reply))
        return false;
    if (reply)
        r = (struct intray_result){INTRAY_REFUSED, NULL, reply_text(reply).p};
    finish(p, &r);
    return true;
}

static void on_added(void *ctx, struct redisReply *reply)
{
    struct put *p = ctx;
    struct span id;
    enum lane lane;
    char job[JOB_ID_ROOM];

    if (failed(p, reply))
        return;
    id = reply_text(reply);
    snprintf(job, sizeof(job), "%s-%.*s", lane_names[p->lane], (int)id.n, id.p);
    if (job_id_ok(span_str(job), &lane))
        finish(p, &(struct intray_result){INTRAY_ACCEPTED, job, NULL});
    else
        finish(p,
               &(struct intray_result){INTRAY_UNKNOWN, NULL, "Redis' answer is not an entry id"});
}

static void on_added_once(void *ctx, struct redisReply *reply)
{
    struct put *p = ctx;
    struct intray_result r = {INTRAY_ACCEPTED, NULL, NULL};
    struct span what, job;
    enum lane lane;

    if (failed(p, reply))
        return;
    what = reply_text(reply_at(reply, 0));
    job = reply_text(reply_at(reply, 1));
    r.job = job.p;
    if (span_is(what, "conflict"))
        r.outcome = INTRAY_CONFLICT;
    else if (span_is(what, "repeated"))
        r.outcome = INTRAY_REPEATED;
    /* Other programs can write to Redis, too. */
    if (r.outcome != INTRAY_CONFLICT && !job_id_ok(job, &lane))
        r = (struct intray_result){INTRAY_REFUSED, NULL,
                                   "Idempotency-Key: its once:* key in Redis holds no job id; "
                                   "delete that key"};
    finish(p, &r);
}

static struct span *room_for(struct intray *t, size_t count)
{
    if (t->argv_room < count) {
        t->argv_room = count;
        t->argv = alloc_grow(t->argv, count, sizeof(*t->argv));
    }
    return t->argv;
}

void intray_put(struct intray *t, const struct config_account *a, enum lane lane,
                const struct span *fields, size_t count, const struct intray_once *once,
                intray_cb *cb, void *ctx)
{
    struct put *p = alloc_zeroed(1, sizeof(*p));
    struct span *argv = room_for(t, count + 9);
    char *stream = rediskey_lane(a->name, lane), *mark = NULL;
    size_t n = 0;

    *p = (struct put){t, lane, cb, ctx};
    t->under_way++;
    if (once) {
        char what[96];

        snprintf(what, sizeof(what), "once:%.*s", (int)once->key.n, once->key.p);
        mark = rediskey(a->name, what);
        argv[n++] = SPAN("EVAL");
        argv[n++] = span_str(put_once);
        argv[n++] = SPAN("2");
        argv[n++] = span_str(stream);
        argv[n++] = span_str(mark);
        argv[n++] = once->same;
        argv[n++] = SPAN("86400");
        argv[n++] = span_str(lane_names[lane]);
    } else {
        argv[n++] = SPAN("XADD");
        argv[n++] = span_str(stream);
        argv[n++] = SPAN("*");
    }
    for (size_t i = 0; i < count; i++)
        argv[n++] = fields[i];
    redis_command(t->redis, n, argv, once ? on_added_once : on_added, p);
    free(mark);
    free(stream);
}
