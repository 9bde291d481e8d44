/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"
#include "serverinfo.h"

/* -- the lease -- */

struct leading {
    queue_lease_cb *cb;
    void *ctx;
    struct queue_lease lead;
};

static void answer_lease(struct leading *l, int err)
{
    l->cb(l->ctx, err, err ? NULL : &l->lead);
    free(l);
}

/* Names are like "normal-1700000000000-0", as the endpoint wrote them. Invalid names are skipped.
 */
static void take_cancelled(struct queue_lease *out, const struct redisReply *names)
{
    size_t count = reply_count(names);

    for (size_t i = 0; i < count && out->cancelled_count < QUEUE_CANCELLED_MAX; i++) {
        struct span rest = reply_text(reply_at(names, i)), lane;
        struct queue_name *name = &out->cancelled[out->cancelled_count];

        if (span_next_word(&rest, '-', &lane) && lane_parse(lane, &name->lane) == 0 && rest.n > 1 &&
            queue_parse_id(span_of(rest.p + 1, rest.n - 1), &name->id) == 0)
            out->cancelled_count++;
    }
}

/* Notes the history of this answer, and since when the lease has been withheld in it. */
static void note_history(struct queue *q, const struct redisReply *present,
                         const struct queue_lease *lead)
{
    char history[sizeof(q->withheld)];

    reply_copy(present, history, sizeof(history));
    if (lead->leading)
        snprintf(q->led_in, sizeof(q->led_in), "%s", q->frail ? history : "");
    if (!lead->withheld && !lead->holder[0])
        return; /* we have waited, and leave it to another instance, which may not take it */
    if (!lead->withheld)
        history[0] = '\0';
    if (strcmp(q->withheld, history) == 0)
        return;
    memcpy(q->withheld, history, sizeof(history));
    q->withheld_ns = clock_mono_ns();
}

void queue_frail(struct queue *q, enum queue_frailty f)
{
    q->frail = f == QUEUE_MAY_LOSE;
}

static const char *const roles[QUEUE_ROLE_N] = {[QUEUE_STANDBY] = "standby",
                                                [QUEUE_READY] = "ready",
                                                [QUEUE_LEADER] = "leader",
                                                [QUEUE_LEAVING] = "leaving"};

/* Takes pairs of a role and a name. A role that only a newer version knows counts as standby. */
static void take_others(struct queue_lease *out, const struct redisReply *others)
{
    size_t count = reply_count(others) / 2;

    for (size_t i = 0; i < count && out->others_count < QUEUE_INSTANCES_MAX; i++) {
        struct span role = reply_text(reply_at(others, 2 * i));

        out->others[out->others_count++] =
            (struct queue_instance){.owner = reply_text(reply_at(others, 2 * i + 1)),
                                    .ready = span_is(role, roles[QUEUE_READY]),
                                    .leaving = span_is(role, roles[QUEUE_LEAVING])};
    }
}

static void on_lease(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct leading *l = ctx;
    struct queue_lease *out = &l->lead;
    int64_t ttl, moved;

    if (err == 0 && reply_count(reply) != 13)
        err = queue_distrust(q);
    if (err) {
        answer_lease(l, err);
        return;
    }
    out->leading = reply_number(reply_at(reply, 0)) == 1;
    out->taken_over = reply_number(reply_at(reply, 1)) == 1;
    reply_copy(reply_at(reply, 2), out->holder, sizeof(out->holder));
    ttl = reply_number(reply_at(reply, 3));
    out->holder_ttl_ms = ttl >= 0 ? (uint64_t)ttl : NEVER;
    out->withheld = reply_number(reply_at(reply, 9)) == 1;
    note_history(q, reply_at(reply, 8), out);
    out->paused = reply_number(reply_at(reply, 4)) == 1;
    reply_copy(reply_at(reply, 5), out->paused_why, sizeof(out->paused_why));
    take_cancelled(out, reply_at(reply, 6));
    take_others(out, reply_at(reply, 10));
    out->next = reply_number(reply_at(reply, 11)) == 1;
    moved = reply_number(reply_at(reply, 12));
    out->moved_ms = moved >= 0 ? (uint64_t)moved : NEVER;
    /* We know these names now, and the next request lets Redis forget them. */
    q->told = out->leading ? reply_count(reply_at(reply, 6)) : 0;
    reply_copy(reply_at(reply, 7), q->told_digest, sizeof(q->told_digest));
    answer_lease(l, 0);
}

void queue_lease(struct queue *q, uint64_t ttl_ms, const char *usurp, struct span status,
                 const struct queue_clock *clock, const struct queue_announcement *said,
                 queue_lease_cb *cb, void *ctx)
{
    struct leading *l = alloc_zeroed(1, sizeof(*l));
    struct queue_args a;
    bool waited = clock_mono_ns() - q->withheld_ns >= ttl_ms * NS_PER_MS;

    must(ttl_ms > 0);
    l->cb = cb;
    l->ctx = ctx;
    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_LEASE]);
    queue_key(&a, q->keys[KEY_CONTROL]);
    queue_key(&a, q->keys[KEY_STATUS]);
    queue_key(&a, q->keys[KEY_BUDGET]);
    queue_key(&a, q->keys[KEY_CANCELLED]);
    queue_key(&a, q->keys[KEY_INSTANCES]);
    queue_arg(&a, span_str(q->owner));
    queue_arg_u64(&a, ttl_ms);
    queue_arg(&a, span_str(usurp));
    queue_arg(&a, status);
    queue_arg_u64(&a, clock->account_ms);
    queue_arg_u64(&a, clock->wall_ms);
    queue_arg_u64(&a, q->told);
    queue_arg(&a, span_str(q->told_digest));
    queue_arg_u64(&a, q->frail);
    queue_arg(&a, waited ? span_str(q->withheld) : SPAN(""));
    queue_arg(&a, span_str(q->led_in));
    queue_arg(&a, span_str(said ? roles[said->role] : ""));
    queue_arg_u64(&a, !said || said->may_take);
    queue_arg(&a, span_str(said ? said->next : NULL));
    queue_arg_u64(&a, !said || said->holds);
    queue_call_script(q, SCRIPT_LEAD, &a, on_lease, l);
}

/* -- plain commands -- */

struct done {
    queue_done_cb *cb;
    void *ctx;
};

static void on_done(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct done d = *(struct done *)ctx;

    (void)q, (void)reply;
    free(ctx);
    d.cb(d.ctx, err);
}

static struct done *new_done(queue_done_cb *cb, void *ctx)
{
    struct done *d = alloc_zeroed(1, sizeof(*d));

    *d = (struct done){cb, ctx};
    return d;
}

void queue_release(struct queue *q, enum queue_release_why why, queue_done_cb *cb, void *ctx)
{
    static const char *const reasons[] = {
        [QUEUE_HANDS_OVER] = "", [QUEUE_LEAVES] = "leaving", [QUEUE_BALANCES] = "moved"};
    struct queue_args a;

    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_LEASE]);
    queue_key(&a, q->keys[KEY_INSTANCES]);
    queue_arg(&a, span_str(q->owner));
    queue_arg(&a, span_str(reasons[why]));
    queue_call_script(q, SCRIPT_RELEASE, &a, on_done, new_done(cb, ctx));
}

struct asking_depth {
    queue_depth_cb *cb;
    void *ctx;
};

/* Takes a lane's length, its newest id, and whether that entry exists. */
static struct queue_depth depth_of(struct queue_lane *lane, const struct redisReply *length,
                                   const struct redisReply *newest, const struct redisReply *there)
{
    struct queue_depth depth = {.entries = reply_u64(length)};
    struct entry_id last = {0, 0};
    bool newest_is_there = reply_number(there) == 1;

    if (queue_parse_id(reply_text(newest), &last) < 0)
        last = (struct entry_id){0, 0};
    depth.beyond = queue_id_is_beyond(last);
    depth.anew = queue_id_compare(last, lane->seen) < 0;
    /* If the newest entry was deleted, nobody can say whether there are entries before it, until a
     * read that began afterwards has found the end. */
    depth.all_read =
        depth.entries == 0 || queue_id_compare(last, lane->seen) <= 0 ||
        (!newest_is_there && lane->read_since && queue_id_compare(last, lane->end) == 0);
    if (queue_id_compare(last, lane->end) != 0)
        lane->read_since = false;
    lane->end = last;
    if (depth.entries == 0)
        queue_front_emptied(lane, last);
    return depth;
}

static void on_depth(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct asking_depth d = *(struct asking_depth *)ctx;
    struct queue_depth depth[LANE_N] = {0};

    free(ctx);
    if (err == 0 && reply_count(reply) != 3 * LANE_N)
        err = queue_distrust(q);
    for (size_t lane = 0; err == 0 && lane < LANE_N; lane++)
        depth[lane] = depth_of(&q->lanes[lane], reply_at(reply, 3 * lane),
                               reply_at(reply, 3 * lane + 1), reply_at(reply, 3 * lane + 2));
    d.cb(d.ctx, err, depth);
}

void queue_depth(struct queue *q, queue_depth_cb *cb, void *ctx)
{
    struct asking_depth *d = alloc_zeroed(1, sizeof(*d));
    struct queue_args a;

    *d = (struct asking_depth){cb, ctx};
    queue_args_init(&a);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_key(&a, q->keys[KEY_JOBS + lane]);
    queue_call_script(q, SCRIPT_DEPTH, &a, on_depth, d);
}

/* -- the server -- */

struct asking_server {
    queue_server_cb *cb;
    void *ctx;
    bool syncs_always;
};

/* Truncates the text to fit. */
static void copy_text(struct span text, char *out, size_t room)
{
    snprintf(out, room, "%.*s", (int)min_u64(text.n, room), text.p);
}

static void on_info(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct asking_server s = *(struct asking_server *)ctx;
    struct queue_server out;
    struct serverinfo info;

    free(ctx);
    if (err == 0 && !reply_is_string(reply))
        err = queue_distrust(q);
    if (err) {
        s.cb(s.ctx, err, NULL);
        return;
    }
    serverinfo_parse(reply_text(reply), &info);
    out = (struct queue_server){.maxmemory = info.maxmemory,
                                .full = info.full,
                                .aof = info.aof,
                                .aof_known = info.aof_known,
                                .syncs_always = s.syncs_always && info.aof,
                                .replicas = info.replicas};
    copy_text(info.version, out.version, sizeof(out.version));
    copy_text(info.maxmemory_policy, out.maxmemory_policy, sizeof(out.maxmemory_policy));
    serverinfo_deinit(&info);
    s.cb(s.ctx, 0, &out);
}

/* Our user may not be permitted to know. */
static void on_appendfsync(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct asking_server *s = ctx;

    (void)q;
    s->syncs_always = err == 0 && span_is(reply_text(reply_at(reply, 1)), "always");
}

void queue_server(struct queue *q, queue_server_cb *cb, void *ctx)
{
    struct asking_server *s = alloc_zeroed(1, sizeof(*s));
    const struct span fsync[] = {SPAN("CONFIG"), SPAN("GET"), SPAN("appendfsync")};
    struct span info = SPAN("INFO");

    *s = (struct asking_server){.cb = cb, .ctx = ctx};
    queue_call_courtesy(q, array_len(fsync), fsync, on_appendfsync, s);
    queue_call(q, 1, &info, on_info, s);
}
