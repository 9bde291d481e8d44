/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "deadletter_filter.h"
#include "ends.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_loop.h"
#include "fake_redis.h"
#include "fields.h"
#include "jobplace.h"
#include "submit.h"
#include "witness.h"
#include "world.h"

static const struct deadletter_filter every = {.up_to = NULL};

#define AGAIN_NS (200 * NS_PER_MS)
#define JOB_MAX 160

enum asks { POST, GET, DELETE };

struct question {
    struct list link;
    enum asks asks;
    char account[72];
    char job[JOB_MAX]; /* POST: the one that was added, "": none so far */
    char *once;        /* NULL: without */
    enum lane lane;
    struct fields *fields;
    bool answered;
    bool cut_off; /* the job was added to a master that is cut off */
    struct event *again;
};

static struct {
    struct loop loop;
    struct redis_address redis;
    struct submit *submit;
    struct list questions;
    uint64_t open, accepted;
    char last_job[JOB_MAX];
    const char *last_seen;
    bool closed;
} api;

static void ask(struct question *q);

static void on_again(void *ctx)
{
    struct question *q = ctx;

    q->again = NULL;
    ask(q);
}

static void ask_again(struct question *q)
{
    if (!api.closed)
        q->again = engine_at(engine_now_ns() + AGAIN_NS, ENGINE_NOBODY, on_again, q);
}

static void end(struct question *q)
{
    q->answered = true;
    api.open--;
}

/* -- POST -- */

static void accept(const struct question *q, const char *job)
{
    api.accepted++;
    if (!q->cut_off)
        witness_accepted(q->account, job);
    else if (world_config()->redis_replicas)
        engine_fail("P1: job %s is accepted, and no replica has it", job);
}

static void on_posted(void *ctx, const struct submit_result *r)
{
    struct question *q = ctx;

    trace("http: POST: %s", r->outcome == SUBMIT_ACCEPTED   ? "accepted"
                            : r->outcome == SUBMIT_REPEATED ? "known already"
                            : r->outcome == SUBMIT_CONFLICT ? "in conflict"
                                                            : r->why);
    if (r->outcome == SUBMIT_CONFLICT)
        engine_fail("P8: Idempotency-Key %s: a conflict with itself", q->once);
    if (r->job && strcmp(r->job, q->job) != 0)
        engine_fail("P8: a POST is answered with job %s, and it added \"%s\"", r->job, q->job);
    if (r->job)
        accept(q, r->job);
    if (r->job || !q->once)
        end(q);
    else
        ask_again(q);
}

static void post(struct question *q)
{
    const struct submit_once once = {span_str(q->once), SPAN("5a3e")};

    submit_put(api.submit, config_account(world_config(), q->account), q->lane, q->fields->at,
               q->fields->count, q->once ? &once : NULL, on_posted, q);
}

/* Redis has a job from the endpoint: whose is it? */
static void take_added(enum lane lane, struct entry_id id, const struct fields *f, bool cut_off)
{
    char job[JOB_MAX];
    struct span ref = fields_get(f, "ref");

    snprintf(job, sizeof(job), "%s-%" PRIu64 "-%" PRIu64, lane_names[lane], id.ms, id.seq);
    snprintf(api.last_job, sizeof(api.last_job), "%s", job);
    list_each(it, &api.questions) {
        struct question *q = list_entry(it, struct question, link);

        if (q->asks != POST || q->answered || !span_eq(ref, fields_get(q->fields, "ref")))
            continue;
        if (q->once && q->job[0])
            engine_fail("P8: Idempotency-Key %s: jobs %s and %s were added", q->once, q->job, job);
        snprintf(q->job, sizeof(q->job), "%s", job);
        q->cut_off = cut_off;
    }
}

static void on_added(const char *account, enum lane lane, struct entry_id id,
                     const struct fields *f)
{
    witness_pushed(account, lane, id, f->at, f->count);
    take_added(lane, id, f, false);
}

static void on_added_cut_off(const char *account, enum lane lane, struct entry_id id,
                             const struct fields *f)
{
    witness_pushed_cut_off(account, f->at, f->count);
    take_added(lane, id, f, true);
}

/* Who asks a master that is cut off hears of its jobs. */
static bool is_cut_off(void)
{
    return fake_redis_cut_off(api.loop.instance);
}

/* Redis has lost some of them: those whose clients were told nothing are added again. */
void api_rolled_back(void)
{
    list_each(it, &api.questions) {
        struct question *q = list_entry(it, struct question, link);
        bool lost = q->cut_off || witness_lost(q->account, q->job);

        if (q->asks != POST || q->answered || !lost || is_cut_off())
            continue;
        q->job[0] = '\0';
        q->cut_off = false;
    }
}

/* -- GET and DELETE -- */

static void on_cancelled(void *ctx, enum jobplace_cancelled what, struct span receipt)
{
    struct question *q = ctx;

    (void)receipt;
    trace("http: DELETE of %s: %d", q->job, (int)what);
    if (what == JOBPLACE_CANCELLED && is_cut_off() && world_config()->redis_replicas)
        engine_fail("P10: job %s is said to be cancelled, and no replica knows", q->job);
    if (what == JOBPLACE_MOVED || what == JOBPLACE_FAILED || what == JOBPLACE_FEW || is_cut_off()) {
        ask_again(q);
        return;
    }
    if (what == JOBPLACE_CANCELLED)
        witness_cancellation_told(q->account, q->job);
    end(q);
}

static void cancel(struct question *q, const struct jobplace *place)
{
    char *receipt = alloc_printf("{\"job\":\"%s\",\"state\":\"cancelled\"}", q->job);

    witness_cancelled_job(q->account, q->job);
    jobplace_cancel(submit_replicated(api.submit, q->account),
                    config_account(world_config(), q->account), q->job, place, span_str(receipt),
                    SPAN(""), on_cancelled, q);
    free(receipt);
}

static void on_found(void *ctx, enum job_state state, struct span receipt,
                     const struct jobplace *place)
{
    static const char *const words[] = {[JOB_UNKNOWN] = "unknown",
                                        [JOB_WAITING] = "waiting",
                                        [JOB_ENDED] = "ended",
                                        [JOB_UNSURE] = "unsure",
                                        [JOB_ASKED_IN_VAIN] = "asked in vain"};
    struct question *q = ctx;

    (void)receipt;
    trace("http: job %s is %s", q->job, words[state]);
    if (is_cut_off() || state == JOB_ASKED_IN_VAIN || state == JOB_UNSURE) {
        ask_again(q);
        return;
    }
    if (state == JOB_UNKNOWN && witness_must_know(q->account, q->job)) {
        engine_fail("P9: job %s was accepted, and is unknown", q->job);
    } else if (q->asks == DELETE && state == JOB_ENDED) {
        jobplace_confirm_end(submit_replicated(api.submit, q->account), q->account, q->job,
                             on_cancelled, q);
    } else if (q->asks == DELETE && state == JOB_WAITING) {
        cancel(q, place);
    } else {
        if (q->asks == GET)
            api.last_seen = words[state];
        end(q);
    }
}

static void ask(struct question *q)
{
    if (q->asks == POST)
        post(q);
    else
        jobplace_find(submit_redis(api.submit, q->account), q->account, q->job, on_found, q);
}

/* -- the questions -- */

static struct question *new_question(enum asks asks, const char *account)
{
    struct question *q = alloc_zeroed(1, sizeof(*q));

    q->asks = asks;
    snprintf(q->account, sizeof(q->account), "%s", account);
    list_push_back(&api.questions, &q->link);
    api.open++;
    return q;
}

void api_post(const char *account, enum lane lane, const struct span *fields, size_t count,
              const char *once)
{
    struct question *q = new_question(POST, account);

    q->lane = lane;
    q->fields = fields_copy(fields, count);
    q->once = once ? alloc_str(once) : NULL;
    ask(q);
}

static void ask_for(enum asks asks, const char *account, const char *job)
{
    struct question *q = new_question(asks, account);

    snprintf(q->job, sizeof(q->job), "%s", job);
    ask(q);
}

void api_get(const char *account, const char *job)
{
    ask_for(GET, account, job);
}

void api_delete(const char *account, const char *job)
{
    ask_for(DELETE, account, job);
}

void api_dead(const char *account, enum api_dead what)
{
    const struct actor who = {config_account(world_config(), account), "story"};
    struct client *c;
    struct error err;
    uint64_t done = 0;
    int rc;

    if (client_open(NULL, &c, &err) < 0) {
        trace("http: no dead letters: %s", err.text);
        return;
    }
    witness_letters(account, LETTERS_BEFORE);
    ends_begin("dead letters", ENDS_API, 0, NULL);
    rc = deadletter_act_all(c, &who, &every,
                            what == API_DEAD_RETRY ? DEADLETTER_RETRY : DEADLETTER_DROP,
                            DEADLETTER_DO, &done, NULL);
    ends_finish();
    witness_letters(account, LETTERS_AFTER);
    trace("http: %" PRIu64 " dead letters are gone%s%s", done, rc < 0 ? ": " : "",
          rc < 0 ? client_error(c) : "");
    client_close(c);
}

/* -- from beginning to end -- */

static void on_up(void *ctx)
{
    (void)ctx;
}

void api_begin(void)
{
    memset(&api, 0, sizeof(api));
    api.loop.instance = ENGINE_NOBODY;
    api.last_seen = "";
    list_init(&api.questions);
    ends_watch.added = on_added;
    ends_watch.added_cut_off = on_added_cut_off;
    api.redis.replicas = world_config()->redis_replicas;
    fake_cluster_address(&api.redis);
    api.submit = submit_new(&api.loop, &api.redis, on_up, NULL, NULL);
    for (uint32_t i = 0; i < world_config()->accounts_count; i++)
        submit_serve(api.submit, world_config()->accounts[i].name);
}

static void on_closed(void *ctx)
{
    (void)ctx;
}

void api_end(void)
{
    struct list *node;

    api.closed = true;
    list_each(it, &api.questions)
        engine_cancel(list_entry(it, struct question, link)->again);
    submit_close(api.submit, on_closed, NULL);
    engine_settle();
    while ((node = list_pop_front(&api.questions))) {
        struct question *q = list_entry(node, struct question, link);

        free(q->once);
        free(q->fields);
        free(q);
    }
}

uint64_t api_open(void)
{
    return api.open;
}

uint64_t api_accepted(void)
{
    return api.accepted;
}

const char *api_last_job(void)
{
    return api.last_job;
}

const char *api_last_seen(void)
{
    return api.last_seen;
}
