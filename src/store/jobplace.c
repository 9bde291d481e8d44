/* SPDX-License-Identifier: MIT */
#include "jobplace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "job.h"
#include "keys.h"
#include "queue.h"
#include "queue_pack.h"
#include "redis_error.h"
#include "replicated.h"
#include "scripts.h"

/* -- ids -- */

static char *receipt_key(const char *account, const char *job)
{
    char what[JOB_ID_ROOM + 16];
    int n = snprintf(what, sizeof(what), "receipt:%s", job);

    must(n > 0 && (size_t)n < sizeof(what));
    return redis_key(account, what);
}

static void free_all(char **keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(keys[i]);
}

/* -- finding -- */

struct finding {
    jobplace_cb *cb;
    void *ctx;
    struct redis *redis;
    char *account;
    char job[JOB_ID_ROOM];
    unsigned rounds;
};

/* Of 16 entries of the history each. More can only be there if jobs with the same targets were
 * pushed by the thousand within seconds. */
#define ROUNDS_MAX 1000

static enum job_state state_of(const struct redisReply *reply, struct jobplace *place)
{
    struct span what = reply_text(reply_at(reply, 0)), id = reply_text(reply_at(reply, 2));
    int64_t lane = reply_number(reply_at(reply, 1));

    if (!reply || reply_refused(reply))
        return JOB_ASKED_IN_VAIN;
    if (span_is(what, "ended"))
        return JOB_ENDED;
    if (span_is(what, "unsure"))
        return JOB_UNSURE;
    place->postponed = span_is(what, "postponed");
    if (place->postponed)
        return JOB_WAITING;
    if (!span_is(what, "lane") || lane < 1 || lane > LANE_N)
        return JOB_UNKNOWN;
    place->lane = (enum lane)(lane - 1);
    snprintf(place->entry, sizeof(place->entry), "%.*s", (int)id.n, id.p);
    return JOB_WAITING;
}

static void ask_where(struct finding *f, struct span from);

static void on_found(void *ctx, struct redisReply *reply)
{
    struct finding *f = ctx;
    struct jobplace place = {0};
    enum job_state state = state_of(reply, &place);

    if (state == JOB_UNKNOWN && span_is(reply_text(reply_at(reply, 0)), "more") &&
        ++f->rounds < ROUNDS_MAX) {
        ask_where(f, reply_text(reply_at(reply, 1)));
        return;
    }
    f->cb(f->ctx, state, state == JOB_ENDED ? reply_text(reply_at(reply, 1)) : SPAN(""), &place);
    free(f->account);
    free(f);
}

/* The command that asks, with its memory. */
struct find_command {
    char *keys[5 + LANE_N];
    char home[12];
    struct span argv[3 + 5 + LANE_N + 4];
};

/* from: where to go on in the history. */
static void find_command_make(struct find_command *q, const char *account, const char *job,
                              struct span from)
{
    static const char *const rest[] = {"postponed", "places", "later"};
    const size_t count = array_len(q->keys);
    enum lane lane = LANE_NORMAL;

    must(job_id_ok(span_str(job), &lane));
    q->keys[0] = receipt_key(account, job);
    for (size_t i = 0; i < array_len(rest); i++)
        q->keys[1 + i] = redis_key(account, rest[i]);
    for (int i = 0; i < LANE_N; i++)
        q->keys[4 + i] = redis_key_lane(account, (enum lane)i);
    q->keys[4 + LANE_N] = redis_key(account, "history");
    snprintf(q->home, sizeof(q->home), "%d", strchr(job, '+') ? 0 : (int)lane + 1);
    q->argv[0] = SPAN("EVAL");
    q->argv[1] = span_str(scripts[SCRIPT_FIND_JOB].text);
    q->argv[2] = SPAN("8");
    for (size_t i = 0; i < count; i++)
        q->argv[3 + i] = span_str(q->keys[i]);
    q->argv[3 + count] = span_str(job);
    q->argv[4 + count] = span_str(q->home);
    q->argv[5 + count] = span_str(job + strlen(lane_names[lane]) + 1);
    q->argv[6 + count] = from;
}

static void ask_where(struct finding *f, struct span from)
{
    struct find_command q;

    find_command_make(&q, f->account, f->job, from);
    redis_ask(f->redis, array_len(q.argv), q.argv, on_found, f);
    free_all(q.keys, array_len(q.keys));
}

/* When a postponed job is due, from the reply to ZSCORE. */
static uint64_t due_of(const struct redisReply *reply)
{
    int64_t ms = !reply || reply_refused(reply) || reply_nil(reply) ? 0 : reply_number(reply);

    return ms > 0 ? (uint64_t)ms : 0;
}

static int read_due(struct client *c, const char *account, const char *job, uint64_t *due_ms)
{
    char *key = redis_key(account, "postponed");
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"ZSCORE", key, job, NULL}, &reply);

    if (rc == 0)
        *due_ms = due_of(reply);
    free(key);
    return rc;
}

void jobplace_find(struct redis *r, const char *account, const char *job, jobplace_cb *cb,
                   void *ctx)
{
    struct finding *f = alloc_zeroed(1, sizeof(*f));
    int n = snprintf(f->job, sizeof(f->job), "%s", job);

    must(n > 0 && (size_t)n < sizeof(f->job));
    f->cb = cb;
    f->ctx = ctx;
    f->redis = r;
    f->account = alloc_str(account);
    ask_where(f, SPAN(""));
}

struct receipt_question {
    jobplace_receipt_cb *cb;
    void *ctx;
    struct redis *redis;
    char *account;
    char job[JOB_ID_ROOM];
    unsigned rounds;
};

static void ask_receipt(struct receipt_question *q, struct span from);

static void on_receipt_read(void *ctx, struct redisReply *reply)
{
    struct receipt_question *q = ctx;
    const struct redisReply *told = reply && !reply_refused(reply) ? reply_at(reply, 0) : NULL;

    if (reply_count(told) && ++q->rounds < ROUNDS_MAX) {
        ask_receipt(q, reply_text(reply_at(told, 0)));
        return;
    }
    q->cb(q->ctx, told ? reply_text(told) : span_of(NULL, 0));
    free(q->account);
    free(q);
}

/* from: where to go on in the history. */
static void ask_receipt(struct receipt_question *q, struct span from)
{
    char *key = receipt_key(q->account, q->job), *history = redis_key(q->account, "history");
    char *what = alloc_printf("%s %.*s", q->job, (int)from.n, from.p);

    redis_ask(q->redis, 6,
              (const struct span[]){SPAN("EVAL"), span_str(scripts[SCRIPT_RECEIPTS].text),
                                    SPAN("2"), span_str(history), span_str(key), span_str(what)},
              on_receipt_read, q);
    free(what);
    free(key);
    free(history);
}

void jobplace_receipt(struct redis *r, const char *account, const char *job,
                      jobplace_receipt_cb *cb, void *ctx)
{
    struct receipt_question *q = alloc_zeroed(1, sizeof(*q));

    *q = (struct receipt_question){cb, ctx, r, alloc_str(account), {0}, 0};
    snprintf(q->job, sizeof(q->job), "%s", job);
    ask_receipt(q, SPAN(""));
}

struct due_question {
    jobplace_due_cb *cb;
    void *ctx;
};

static void on_due_read(void *ctx, struct redisReply *reply)
{
    struct due_question q = *(struct due_question *)ctx;

    free(ctx);
    q.cb(q.ctx, due_of(reply));
}

void jobplace_due(struct redis *r, const char *account, const char *job, jobplace_due_cb *cb,
                  void *ctx)
{
    struct due_question *q = alloc_zeroed(1, sizeof(*q));
    char *key = redis_key(account, "postponed");

    *q = (struct due_question){cb, ctx};
    redis_ask(r, 3, (const struct span[]){SPAN("ZSCORE"), span_str(key), span_str(job)},
              on_due_read, q);
    free(key);
}

/* -- reading -- */

struct reading {
    jobplace_read_cb *cb;
    void *ctx;
    bool postponed;
};

/* The command that reads a job, with its memory. */
struct read_command {
    char *key;
    struct span argv[4];
    size_t count;
};

/* `job` and `place` must outlive it. */
static void read_command_make(struct read_command *q, const char *account, const char *job,
                              const struct jobplace *place)
{
    struct span id = span_str(place->entry);

    q->key = place->postponed ? redis_key(account, "postponed:jobs")
                              : redis_key_lane(account, place->lane);
    q->argv[0] = place->postponed ? SPAN("HGET") : SPAN("XRANGE");
    q->argv[1] = span_str(q->key);
    q->argv[2] = place->postponed ? span_str(job) : id;
    q->argv[3] = id;
    q->count = place->postponed ? 3 : 4;
}

static void hand_out_entry(const struct reading *g, const struct redisReply *fields)
{
    size_t count = reply_count(fields) / 2 * 2;
    struct span *at = alloc_zeroed(count + 1, sizeof(*at));

    for (size_t i = 0; i < count; i++)
        at[i] = reply_text(reply_at(fields, i));
    g->cb(g->ctx, JOBPLACE_READ, at, count, SPAN(""));
    free(at);
}

static void hand_out_postponed(const struct reading *g, struct span packed)
{
    struct packed_job job = {0};

    if (queue_unpack(packed, &job) < 0)
        job = (struct packed_job){.fields = NULL};
    g->cb(g->ctx, JOBPLACE_READ, job.fields, job.fields_count, SPAN(""));
    free(job.fields);
}

static void hand_out_job(const struct reading *g, const struct redisReply *reply)
{
    const struct redisReply *job = g->postponed ? reply : reply_at(reply, 0);

    if (!reply || reply_refused(reply))
        g->cb(g->ctx, JOBPLACE_UNREADABLE, NULL, 0,
              reply ? reply_text(reply) : SPAN("Redis is away"));
    else if (!job || reply_nil(job))
        g->cb(g->ctx, JOBPLACE_NOT_THERE, NULL, 0, SPAN(""));
    else if (g->postponed)
        hand_out_postponed(g, reply_text(job));
    else
        hand_out_entry(g, reply_at(job, 1));
}

static void on_fields_read(void *ctx, struct redisReply *reply)
{
    struct reading g = *(struct reading *)ctx;

    free(ctx);
    hand_out_job(&g, reply);
}

void jobplace_read(struct redis *r, const char *account, const char *job,
                   const struct jobplace *place, jobplace_read_cb *cb, void *ctx)
{
    struct reading *g = alloc_zeroed(1, sizeof(*g));
    struct read_command q;

    *g = (struct reading){cb, ctx, place->postponed};
    read_command_make(&q, account, job, place);
    redis_ask(r, q.count, q.argv, on_fields_read, g);
    free(q.key);
}

/* -- for the command line -- */

static char *text_copy(const struct redisReply *reply)
{
    struct span text = reply_text(reply);

    return alloc_copy(text.p, text.n);
}

static void take_by(void *ctx, enum jobplace_read what, const struct span *fields, size_t count,
                    struct span why)
{
    struct span by = job_by_of(fields, count);

    (void)what;
    (void)why;
    if (by.n)
        *(char **)ctx = alloc_copy(by.p, by.n);
}

/* A user that may not read the job is not told who pushed it. */
static int read_by(struct client *c, const char *account, const char *job,
                   struct jobplace_found *out)
{
    struct reading g = {take_by, &out->by, out->place.postponed};
    struct read_command q;
    struct redisReply *reply;
    int rc;

    read_command_make(&q, account, job, &out->place);
    rc = client_ask(c, q.count, q.argv, &reply);
    free(q.key);
    if (rc == 0)
        hand_out_job(&g, reply);
    return rc == -EIO && redis_error_of(client_error(c)) == REDIS_ERROR_NOPERM ? 0 : rc;
}

static int read_what_waits(struct client *c, const char *account, const char *job,
                           struct jobplace_found *out)
{
    int rc = out->place.postponed ? read_due(c, account, job, &out->due_ms) : 0;

    return rc == 0 ? read_by(c, account, job, out) : rc;
}

int jobplace_find_now(struct client *c, const char *account, const char *job,
                      struct jobplace_found *out)
{
    char from[64] = "";

    *out = (struct jobplace_found){.state = JOB_UNKNOWN};
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        struct redisReply *reply;
        struct find_command q;
        int rc;

        find_command_make(&q, account, job, span_str(from));
        rc = client_ask(c, array_len(q.argv), q.argv, &reply);
        free_all(q.keys, array_len(q.keys));
        if (rc < 0)
            return rc;
        out->state = state_of(reply, &out->place);
        if (out->state == JOB_ENDED)
            out->receipt = text_copy(reply_at(reply, 1));
        if (out->state == JOB_WAITING)
            return read_what_waits(c, account, job, out);
        if (!span_is(reply_text(reply_at(reply, 0)), "more"))
            return 0;
        reply_copy(reply_at(reply, 1), from, sizeof(from));
    }
    return 0;
}

/* -- cancelling -- */

struct cancelling {
    jobplace_cancel_cb *cb;
    void *ctx;
};

static void hand_out_few(struct cancelling c, const struct replicas_few *few)
{
    char why[REPLICAS_FEW_ROOM];

    replicas_few_explain(few, why);
    c.cb(c.ctx, JOBPLACE_FEW, span_str(why));
}

static void on_cancelled(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    static const enum jobplace_cancelled answers[] = {JOBPLACE_ENDED, JOBPLACE_CANCELLED,
                                                      JOBPLACE_MOVED};
    struct cancelling c = *(struct cancelling *)ctx;
    int64_t n = reply_number(reply_at(reply, 0));

    free(ctx);
    if (few)
        hand_out_few(c, few);
    else if (!reply || reply_refused(reply) || n < 0 || n >= (int64_t)array_len(answers))
        c.cb(c.ctx, JOBPLACE_FAILED, reply ? reply_text(reply) : SPAN("Redis is away"));
    else
        c.cb(c.ctx, answers[n], reply_text(reply_at(reply, 1)));
}

void jobplace_cancel(struct replicated *x, const struct config_account *a, const char *job,
                     const struct jobplace *place, struct span receipt, struct span purge,
                     jobplace_cancel_cb *cb, void *ctx)
{
    struct cancelling *c = alloc_zeroed(1, sizeof(*c));
    char *keys[] = {receipt_key(a->name, job),
                    redis_key(a->name, "postponed"),
                    redis_key(a->name, "postponed:jobs"),
                    redis_key(a->name, "places"),
                    redis_key(a->name, "settled"),
                    redis_key(a->name, "cancelled"),
                    redis_key_lane(a->name, place->lane),
                    redis_key(a->name, "history")};
    struct span argv[3 + array_len(keys) + 7] = {
        SPAN("EVAL"), span_str(scripts[SCRIPT_CANCEL_JOB].text), SPAN("8")};
    const struct queue_keep keep = {a->receipt_ttl_s, a->history_jobs, a->history_ttl_s,
                                    a->receipts_in == RECEIPTS_IN_HISTORY};
    char ttl[16], history[QUEUE_HISTORY_ROOM];
    size_t n = 3;

    *c = (struct cancelling){cb, ctx};
    snprintf(ttl, sizeof(ttl), "%u", a->receipt_ttl_s);
    for (size_t i = 0; i < array_len(keys); i++)
        argv[n++] = span_str(keys[i]);
    argv[n++] = span_str(job);
    argv[n++] = receipt;
    argv[n++] = span_str(ttl);
    argv[n++] = place->postponed ? SPAN("") : span_str(lane_names[place->lane]);
    argv[n++] = span_str(place->entry);
    argv[n++] = span_str(queue_history_arg(&keep, history));
    argv[n++] = purge;
    replicated_command(x, n, argv, on_cancelled, c);
    free_all(keys, array_len(keys));
}

struct confirming {
    struct cancelling then;
    struct replicated *redis;
    char *account;
    char job[JOB_ID_ROOM];
    unsigned rounds;
};

static void confirm(struct confirming *f, struct span from);

static void on_receipt(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    struct confirming *f = ctx;
    struct cancelling c = f->then;

    if (!few && reply_count(reply) && ++f->rounds < ROUNDS_MAX) {
        confirm(f, reply_text(reply_at(reply, 0)));
        return;
    }
    free(f->account);
    free(f);
    if (few)
        hand_out_few(c, few);
    else if (!reply || reply_refused(reply))
        c.cb(c.ctx, JOBPLACE_FAILED, reply ? reply_text(reply) : SPAN("Redis is away"));
    else if (!reply_text(reply).n)
        c.cb(c.ctx, JOBPLACE_MOVED, SPAN(""));
    else
        c.cb(c.ctx, JOBPLACE_ENDED, reply_text(reply));
}

/* from: where to go on in the history. */
static void confirm(struct confirming *f, struct span from)
{
    char *key = receipt_key(f->account, f->job), *history = redis_key(f->account, "history");

    replicated_command(
        f->redis, 7,
        (const struct span[]){SPAN("EVAL"), span_str(scripts[SCRIPT_CONFIRM_END].text), SPAN("2"),
                              span_str(key), span_str(history), span_str(f->job), from},
        on_receipt, f);
    free(key);
    free(history);
}

void jobplace_confirm_end(struct replicated *x, const char *account, const char *job,
                          jobplace_cancel_cb *cb, void *ctx)
{
    struct confirming *f = alloc_zeroed(1, sizeof(*f));

    *f = (struct confirming){{cb, ctx}, x, alloc_str(account), {0}, 0};
    snprintf(f->job, sizeof(f->job), "%s", job);
    confirm(f, SPAN(""));
}
