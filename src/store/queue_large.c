/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "history_line.h"
#include "job.h"
#include "queue_internal.h"
#include "queue_pack.h"

/* Jobs that are too large for a script are handled one at a time: there may be hundreds of them
 * with 80 MB each, and a step holds a whole job in memory.
 *
 *   end      read the entry ─▶ write its dead letter, or postpone it ─▶ script: it ends
 *   return   read the postponed job ─▶ write it to its lane ─▶ script: it is there
 *   adopt    (postponed by 0.1.0) is the name free? ─▶ write it ─▶ score ─▶ remove the old one
 *
 * The new place is written before the old one is given up, so a crash in between leaves a job
 * twice. */

struct large {
    struct list link; /* in queue.large while another job is under way */
    queue_step_cb *begin;
    queue_step_cb *cb;
    void *ctx;
    struct queue_args kept; /* the caller's arguments, one after the other */
    enum lane lane;
    struct queue_keep keep;
    struct queue_settle item; /* its spans are in `kept` */
    char job[QUEUE_JOB_MAX];
    char name[QUEUE_NAME_MAX]; /* of the postponed job; "": none */
    uint64_t due_ms;
    char *ref; /* NULL: none */
    size_t ref_n;
    struct buf purge;  /* item.purge, and who pushed the job */
    struct buf packed; /* the postponed job */
    char place[80];
    const char *entry; /* the id in `place` */
};

/* -- one job at a time -- */

static void begin_next(struct queue *q)
{
    struct list *node = list_pop_front(&q->large);
    struct large *l;

    if (!node)
        return;
    l = list_entry(node, struct large, link);
    q->large_busy = true;
    l->begin(q, l, 0);
}

static void free_large(struct large *l)
{
    queue_args_deinit(&l->kept);
    buf_deinit(&l->packed);
    buf_deinit(&l->purge);
    free(l->ref);
    free(l);
}

/* If the connection is gone, the jobs in the queue fail, too. */
static void end_large(struct queue *q, struct large *l, int err)
{
    struct list *node;

    q->large_busy = false;
    l->cb(q, l->ctx, err);
    free_large(l);
    while (err == -ENOTCONN && (node = list_pop_front(&q->large))) {
        l = list_entry(node, struct large, link);
        l->cb(q, l->ctx, err);
        free_large(l);
    }
    if (!q->large_busy)
        begin_next(q);
}

static struct large *new_large(queue_step_cb *begin, queue_step_cb *cb, void *ctx)
{
    struct large *l = alloc_zeroed(1, sizeof(*l));

    queue_args_init(&l->kept);
    l->begin = begin;
    l->cb = cb;
    l->ctx = ctx;
    return l;
}

static void stand_in_line(struct queue *q, struct large *l)
{
    list_push_back(&q->large, &l->link);
    if (!q->large_busy)
        begin_next(q);
}

static void on_last_step(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)reply;
    end_large(q, ctx, err);
}

/* Sends the next command, unless the one before it failed. */
static void go_on(struct queue *q, struct large *l, int err, size_t argc, const struct span *argv,
                  queue_reply_cb *next)
{
    if (err)
        end_large(q, l, err);
    else
        queue_call(q, argc, argv, next, l);
}

/* -- a command of any size -- */

/* argv: the command, its key, the rest. A command that fits into a script succeeds without free
 * memory. */
static void write_large(struct queue *q, enum script script, const struct span *argv, size_t argc,
                        queue_reply_cb *cb, struct large *l)
{
    struct queue_args a;
    size_t bytes = 0;

    for (size_t i = 0; i < argc; i++)
        bytes += argv[i].n;
    if (argc > SCRIPT_ARGS_MAX || bytes > SCRIPT_BYTES_MAX) {
        queue_call(q, argc, argv, cb, l);
        return;
    }
    queue_args_init(&a);
    queue_arg(&a, argv[1]);
    a.keys = 1;
    queue_arg(&a, argv[0]);
    for (size_t i = 2; i < argc; i++)
        queue_arg(&a, argv[i]);
    queue_call_script(q, script, &a, cb, l);
}

/* -- the end of an entry -- */

static void on_ended(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    if (err == 0)
        queue_count_skipped(q, reply);
    end_large(q, ctx, err);
}

static void send_end(struct queue *q, struct large *l)
{
    const struct queue_settle *item = &l->item;
    struct queue_args a;

    queue_begin_settle(q, &a, item->lane, &l->keep);
    queue_arg_id(&a, item->id);
    queue_arg(&a, span_str(outcome_names[item->outcome]));
    queue_arg(&a, item->receipt ? SPAN("1") : SPAN("0"));
    queue_arg_u64(&a, item->targets);
    queue_arg(&a, queue_arg_at(&l->kept, 0));
    queue_arg(&a, span_str(l->job));
    queue_arg(&a, l->ref ? SPAN("1") : SPAN("0"));
    queue_arg(&a, span_of(l->ref ? l->ref : "", l->ref_n));
    queue_arg(&a, span_str(l->name));
    queue_arg_u64(&a, l->due_ms);
    queue_arg(&a, queue_arg_at(&l->kept, 2));
    queue_arg(&a, queue_arg_at(&l->kept, 3));
    queue_arg(&a, buf_span(&l->purge));
    queue_call_script(q, SCRIPT_END_LARGE, &a, on_ended, l);
}

static void on_written(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)reply;
    if (err)
        end_large(q, ctx, err);
    else
        send_end(q, ctx);
}

static void write_letter(struct queue *q, struct large *l, const struct redisReply *fields)
{
    struct span services = queue_arg_at(&l->kept, 3), id;
    bool narrowed = services.n > 0;
    struct span *argv =
        alloc_zeroed(3 + reply_count(fields) + (size_t)2 * JOB_SERVICES_MAX + 8, sizeof(*argv));
    char at[24];
    size_t n = 0;

    snprintf(at, sizeof(at), "%" PRIu64, clock_wall_ms());
    argv[n++] = SPAN("XADD");
    argv[n++] = span_str(q->keys[KEY_DEAD]);
    argv[n++] = SPAN("*");
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2) {
        if (narrowed && span_is(reply_text(reply_at(fields, i)), "service"))
            continue;
        argv[n++] = reply_text(reply_at(fields, i));
        argv[n++] = reply_text(reply_at(fields, i + 1));
    }
    for (int i = 0; i < JOB_SERVICES_MAX && span_next_word(&services, ' ', &id); i++) {
        argv[n++] = SPAN("service");
        argv[n++] = id;
    }
    argv[n++] = SPAN("dead_reason");
    argv[n++] = queue_arg_at(&l->kept, 0);
    argv[n++] = SPAN("dead_job");
    argv[n++] = span_str(l->job);
    argv[n++] = SPAN("dead_at");
    argv[n++] = span_str(at);
    argv[n++] = SPAN("dead_target");
    argv[n++] = queue_arg_at(&l->kept, 1);
    write_large(q, SCRIPT_WRITE, argv, n, on_written, l);
    free(argv);
}

/* Asks whether l->name is taken. A postponed job is named after its job id, unless that name is
 * taken. */
static void ask_name(struct queue *q, struct large *l, queue_reply_cb *cb)
{
    queue_call(
        q, 3,
        (const struct span[]){SPAN("ZSCORE"), span_str(q->keys[KEY_POSTPONED]), span_str(l->name)},
        cb, l);
}

static void on_name(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    size_t n = strlen(l->name);

    if (err) {
        end_large(q, l, err);
        return;
    }
    if (!reply_nil(reply))
        snprintf(l->name + n, sizeof(l->name) - n, "@%s", l->place);
    write_large(q, SCRIPT_WRITE_HASH,
                (const struct span[]){SPAN("HSET"), span_str(q->keys[KEY_POSTPONED_JOBS]),
                                      span_str(l->name), buf_span(&l->packed)},
                4, on_written, l);
    buf_deinit(&l->packed);
}

enum put_off { PUT_OFF_LATER, PUT_OFF_REPEAT };

static void put_off(struct queue *q, struct large *l, enum put_off how,
                    const struct redisReply *fields)
{
    struct packed_job job = {.lane = l->item.lane, .entry = span_str(l->entry)};
    char due[24];

    snprintf(due, sizeof(due), "%" PRIu64, l->due_ms);
    snprintf(l->name, sizeof(l->name), "%s%s", l->job, how == PUT_OFF_REPEAT ? "+r" : "");
    job.job = span_str(l->name);
    job.fields = alloc_zeroed(reply_count(fields) + 2, sizeof(*job.fields));
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2) {
        struct span name = reply_text(reply_at(fields, i));

        if (span_is(name, "job") ||
            (how == PUT_OFF_REPEAT && (span_is(name, "repeat_after") ||
                                       span_is(name, "not_before") || span_is(name, "when"))))
            continue;
        job.fields[job.fields_count++] = name;
        job.fields[job.fields_count++] = reply_text(reply_at(fields, i + 1));
    }
    if (how == PUT_OFF_REPEAT) {
        job.fields[job.fields_count++] = SPAN("not_before");
        job.fields[job.fields_count++] = span_str(due);
    }
    buf_init(&l->packed, SIZE_MAX / 2);
    queue_pack(&job, &l->packed);
    free(job.fields);
    ask_name(q, l, on_name);
}

static bool is_job_name(struct span v)
{
    if (v.n == 0 || v.n > 128)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '-'))
            return false;
    }
    return true;
}

/* Adds to what the history says who pushed the job, if that is not there already. As in
 * scripts/shared/purge_of.lua. */
static void note_pusher(struct large *l, const struct redisReply *fields)
{
    struct history_purge past = {.by = SPAN("")};
    struct span said = buf_span(&l->purge);
    bool plainly = false;

    if (said.n && memmem(said.p, said.n, "\"by\":", 5))
        return;
    for (size_t i = 0; i + 1 < reply_count(fields) && !plainly; i += 2) {
        struct span name = reply_text(reply_at(fields, i)),
                    value = reply_text(reply_at(fields, i + 1));

        plainly = span_is(name, "by") && job_by_ok(value);
        if (plainly || (span_is(name, JOB_FIELD_BY) && !past.by.n && job_by_ok(value)))
            past.by = value;
    }
    if (past.by.n && said.n)
        buf_putc(&l->purge, ',');
    history_put_purge(&l->purge, &past);
}

/* Collects what the end of the job depends on, as SCRIPT_SETTLE does for other entries. */
static void look_at(struct large *l, const struct redisReply *fields, uint64_t *repeat_after_ms)
{
    *repeat_after_ms = 0;
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2) {
        struct span name = reply_text(reply_at(fields, i)),
                    value = reply_text(reply_at(fields, i + 1));

        if (span_is(name, "ref")) {
            free(l->ref);
            l->ref = alloc_copy(value.p, value.n);
            l->ref_n = value.n;
        } else if (span_is(name, "repeat_after")) {
            if (span_is(value, REPEAT_AUTO))
                *repeat_after_ms = REPEAT_DEFAULT_MS; /* due_ms says more exactly when */
            else if (span_to_u64(value, repeat_after_ms) < 0)
                *repeat_after_ms = 0;
        } else if (span_is(name, "job") && is_job_name(value)) {
            snprintf(l->job, sizeof(l->job), "%.*s", (int)value.n, value.p);
        }
    }
    note_pusher(l, fields);
}

static void on_large_entry(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    const struct redisReply *entry = reply_at(reply, 0), *fields = reply_at(entry, 1);
    uint64_t repeat_after_ms;

    if (err || reply_count(reply) == 0) {
        end_large(q, l, err); /* gone: it has ended meanwhile */
        return;
    }
    if (reply_count(entry) != 2 || !reply_is_array(fields)) {
        end_large(q, l, queue_distrust(q));
        return;
    }
    look_at(l, fields, &repeat_after_ms);
    l->due_ms = l->item.due_ms;
    if (l->item.outcome == OUTCOME_PURGED && repeat_after_ms && !l->due_ms)
        l->due_ms = clock_wall_ms() + repeat_after_ms;
    if (l->item.outcome == OUTCOME_DEAD)
        write_letter(q, l, fields);
    else if (l->item.outcome == OUTCOME_LATER)
        put_off(q, l, PUT_OFF_LATER, fields);
    else if (l->item.outcome == OUTCOME_PURGED && repeat_after_ms)
        put_off(q, l, PUT_OFF_REPEAT, fields);
    else
        send_end(q, l);
}

static void begin_end(struct queue *q, void *ctx, int err)
{
    struct large *l = ctx;

    (void)err;
    queue_call(q, 4,
               (const struct span[]){SPAN("XRANGE"), span_str(q->keys[KEY_JOBS + l->item.lane]),
                                     span_str(l->entry), span_str(l->entry)},
               on_large_entry, l);
}

void queue_end_large(struct queue *q, const struct queue_settle *item,
                     const struct queue_keep *keep, queue_step_cb *cb, void *ctx)
{
    struct large *l = new_large(begin_end, cb, ctx);

    l->item = *item;
    l->keep = *keep;
    queue_arg(&l->kept, item->reason);
    queue_arg(&l->kept, item->target);
    queue_arg(&l->kept, item->proof);
    queue_arg(&l->kept, item->services);
    buf_init(&l->purge, HISTORY_PURGE_MAX);
    buf_put(&l->purge, item->purge);
    snprintf(l->place, sizeof(l->place), "%s-%" PRIu64 "-%" PRIu64, lane_names[item->lane],
             item->id.ms, item->id.seq);
    l->entry = l->place + strlen(lane_names[item->lane]) + 1;
    snprintf(l->job, sizeof(l->job), "%s", l->place);
    stand_in_line(q, l);
}

/* -- the way back to a lane -- */

static void on_returned(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    struct queue_args a;

    if (err || !reply_is_string(reply)) {
        end_large(q, l, err ? err : -EIO);
        return;
    }
    snprintf(l->place, sizeof(l->place), "%s-%.*s", lane_names[l->lane], (int)reply_text(reply).n,
             reply_text(reply).p);
    queue_args_init(&a);
    queue_key(&a, q->keys[KEY_POSTPONED]);
    queue_key(&a, q->keys[KEY_POSTPONED_JOBS]);
    queue_key(&a, q->keys[KEY_PLACES]);
    queue_key(&a, q->keys[KEY_JOBS + l->lane]);
    queue_arg(&a, queue_arg_at(&l->kept, 0));
    queue_arg(&a, span_str(l->job));
    queue_arg(&a, span_str(l->place));
    queue_arg(&a, span_str(l->place + strlen(lane_names[l->lane]) + 1));
    queue_call_script(q, SCRIPT_RETURNED, &a, on_last_step, l);
}

/* -- unreadable jobs become dead letters -- */

static void bury_unreadable(struct queue *q, struct large *l, struct span bytes,
                            queue_reply_cb *then)
{
    char at[24];

    snprintf(at, sizeof(at), "%" PRIu64, clock_wall_ms());
    write_large(q, SCRIPT_WRITE,
                (const struct span[]){SPAN("XADD"), span_str(q->keys[KEY_DEAD]), SPAN("*"),
                                      SPAN("later"), bytes, SPAN("dead_reason"),
                                      SPAN("later: not readable: damaged, or of a newer version"),
                                      SPAN("dead_job"), SPAN(""), SPAN("dead_at"), span_str(at),
                                      SPAN("dead_target"), SPAN("")},
                13, then, l);
}

/* Removes the name after its value has been removed. */
static void on_value_gone(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;

    (void)reply;
    go_on(q, l, err, 3,
          (const struct span[]){SPAN("ZREM"), span_str(q->keys[KEY_POSTPONED]),
                                queue_arg_at(&l->kept, 0)},
          on_last_step);
}

static void on_buried_value(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;

    (void)reply;
    go_on(q, l, err, 3,
          (const struct span[]){SPAN("HDEL"), span_str(q->keys[KEY_POSTPONED_JOBS]),
                                queue_arg_at(&l->kept, 0)},
          on_value_gone);
}

/* -- the way back to a lane, continued -- */

static void write_back(struct queue *q, struct large *l, const struct packed_job *job)
{
    struct span *argv = alloc_zeroed(3 + job->fields_count + 2, sizeof(*argv));
    size_t n = 0;

    argv[n++] = SPAN("XADD");
    argv[n++] = span_str(q->keys[KEY_JOBS + job->lane]);
    argv[n++] = SPAN("*");
    for (size_t i = 0; i < job->fields_count; i++)
        argv[n++] = job->fields[i];
    argv[n++] = SPAN("job");
    argv[n++] = job->job;
    write_large(q, SCRIPT_WRITE, argv, n, on_returned, l);
    free(argv);
}

static void on_value(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;
    struct packed_job job;

    if (err || !reply_is_string(reply)) {
        end_large(q, l, err); /* gone: it was cancelled meanwhile */
        return;
    }
    if (queue_unpack(reply_text(reply), &job) < 0 || job.job.n >= sizeof(l->job)) {
        bury_unreadable(q, l, reply_text(reply), on_buried_value);
        return;
    }
    l->lane = job.lane;
    snprintf(l->job, sizeof(l->job), "%.*s", (int)job.job.n, job.job.p);
    write_back(q, l, &job);
    free(job.fields);
}

static void begin_return(struct queue *q, void *ctx, int err)
{
    struct large *l = ctx;

    (void)err;
    queue_call(q, 3,
               (const struct span[]){SPAN("HGET"), span_str(q->keys[KEY_POSTPONED_JOBS]),
                                     queue_arg_at(&l->kept, 0)},
               on_value, l);
}

void queue_return_large(struct queue *q, struct span name, queue_step_cb *cb, void *ctx)
{
    struct large *l = new_large(begin_return, cb, ctx);

    queue_arg(&l->kept, name);
    stand_in_line(q, l);
}

/* -- jobs postponed by version 0.1.0 -- */

enum { SCORE, MEMBER };

static void on_adopted(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;

    (void)reply;
    go_on(q, l, err, 3,
          (const struct span[]){SPAN("ZREM"), span_str(q->keys[KEY_LATER]),
                                queue_arg_at(&l->kept, MEMBER)},
          on_last_step);
}

static void on_member_written(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;

    (void)reply;
    go_on(q, l, err, 4,
          (const struct span[]){SPAN("ZADD"), span_str(q->keys[KEY_POSTPONED]),
                                queue_arg_at(&l->kept, SCORE), span_str(l->name)},
          on_adopted);
}

static void on_name_asked(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct large *l = ctx;

    if (err) {
        end_large(q, l, err);
        return;
    }
    if (!reply_nil(reply))
        snprintf(l->name, sizeof(l->name), "%s@%s", l->job, l->place);
    write_large(q, SCRIPT_WRITE_HASH,
                (const struct span[]){SPAN("HSET"), span_str(q->keys[KEY_POSTPONED_JOBS]),
                                      span_str(l->name), queue_arg_at(&l->kept, MEMBER)},
                4, on_member_written, l);
}

static void begin_adopt(struct queue *q, void *ctx, int err)
{
    struct large *l = ctx;
    struct span member = queue_arg_at(&l->kept, MEMBER);
    struct packed_job job;

    (void)err;
    if (queue_unpack(member, &job) < 0 || job.job.n >= sizeof(l->job)) {
        bury_unreadable(q, l, member, on_adopted);
        return;
    }
    snprintf(l->job, sizeof(l->job), "%.*s", (int)job.job.n, job.job.p);
    snprintf(l->name, sizeof(l->name), "%s", l->job);
    snprintf(l->place, sizeof(l->place), "%s-%.*s", lane_names[job.lane],
             (int)min_u64(job.entry.n, 48), job.entry.p);
    free(job.fields);
    ask_name(q, l, on_name_asked);
}

void queue_adopt_large(struct queue *q, struct span score, struct span member, queue_step_cb *cb,
                       void *ctx)
{
    struct large *l = new_large(begin_adopt, cb, ctx);

    queue_arg(&l->kept, score);
    queue_arg(&l->kept, member);
    stand_in_line(q, l);
}
