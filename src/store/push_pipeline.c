/* SPDX-License-Identifier: MIT */
#include "push_pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "replicas.h"

#define PENDING_MAX_BYTES ((size_t)4 * 1024 * 1024)

#define JOB_ROOM 96

/* With replicas, one WAIT covers many jobs. The outcome of a job is kept until the answer to its
 * WAIT:
 *
 *   ring: │ answered, outcome kept │ not answered │   WAITs are sent behind jobs marked `then_wait`
 *         head                     head + answered */
struct sent {
    uint64_t tag;
    enum lane lane;
    size_t bytes;
    bool then_wait; /* WAIT was sent behind it */
    char *job;      /* its id, or NULL if it was refused; while it waits for replicas */
    char *refusal;
};

struct push_pipeline {
    struct client *client;
    const struct config_account *account;
    push_pipeline_cb *cb;
    void *ctx;
    struct job_decoder decoder;
    char *streams[LANE_N];
    struct sent ring[ENQUEUE_WINDOW];
    size_t head, pending, bytes;
    uint32_t replicas; /* 0: a job is accepted when Redis has it */
    size_t answered;   /* jobs whose outcome is kept */
    size_t uncovered;  /* jobs without a WAIT behind them: the last ones */
    size_t waits;      /* WAITs sent and not yet answered */
    bool wait_is_next; /* the next answer is that of a WAIT */
    bool few;          /* stopped because too few replicas have the jobs */
    struct span *argv;
    size_t argv_room;
    struct push_pipeline_counts counts;
    int stopped; /* -EIO or -ENOTCONN: nothing more is sent */
    struct error why;
    struct config_account lone; /* the account with the services that a job names */
    struct config_service services[JOB_SERVICES_MAX];
    char service_ids[JOB_SERVICES_MAX][SERVICE_ID_MAX_BYTES + 1];
};

struct push_pipeline *push_pipeline_new(struct client *c, const struct config_account *account,
                                        uint32_t replicas, push_pipeline_cb *cb, void *ctx)
{
    struct push_pipeline *e = alloc_zeroed(1, sizeof(*e));

    e->client = c;
    e->account = account;
    e->replicas = replicas;
    e->cb = cb;
    e->ctx = ctx;
    job_decoder_init(&e->decoder);
    for (int lane = 0; lane < LANE_N; lane++)
        e->streams[lane] = redis_key_lane(account->name, (enum lane)lane);
    return e;
}

static struct sent *nth(struct push_pipeline *e, size_t i)
{
    return &e->ring[(e->head + i) % ENQUEUE_WINDOW];
}

void push_pipeline_free(struct push_pipeline *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->answered; i++) {
        free(nth(e, i)->job);
        free(nth(e, i)->refusal);
    }
    for (int lane = 0; lane < LANE_N; lane++)
        free(e->streams[lane]);
    job_decoder_deinit(&e->decoder);
    free(e->argv);
    free(e);
}

const struct push_pipeline_counts *push_pipeline_counts(const struct push_pipeline *e)
{
    return &e->counts;
}

/* A producer's machine need not know the services. If none is configured, the services that the job
 * names are accepted here, and the dispatcher, which knows the services, decides. */
static const struct config_account *account_for(struct push_pipeline *e, const struct span *fields,
                                                size_t count)
{
    uint32_t n = 0;

    if (e->account->services_count)
        return e->account;
    for (size_t i = 0; i < count && n < JOB_SERVICES_MAX; i += 2) {
        if (!span_is(fields[i], "service") || !service_id_ok(fields[i + 1]))
            continue;
        snprintf(e->service_ids[n], sizeof(e->service_ids[n]), "%.*s", (int)fields[i + 1].n,
                 fields[i + 1].p);
        e->services[n] = (struct config_service){.id = e->service_ids[n], .name = (char *)""};
        n++;
    }
    if (n == 0)
        return e->account;
    e->lone = *e->account;
    e->lone.services = e->services;
    e->lone.services_count = n;
    return &e->lone;
}

static void stop(struct push_pipeline *e, int rc, const char *why)
{
    if (e->stopped)
        return;
    e->stopped = rc;
    error_set(&e->why, rc, "%s", why);
}

/* -- the outcome of jobs -- */

/* Takes the oldest job off the ring. */
static struct sent pop(struct push_pipeline *e)
{
    struct sent s = *nth(e, 0);

    e->head = (e->head + 1) % ENQUEUE_WINDOW;
    e->pending--;
    e->bytes -= s.bytes;
    return s;
}

static void end_job(struct push_pipeline *e, uint64_t tag, const char *job, const char *refusal)
{
    e->counts.accepted += job != NULL;
    e->counts.refused += refusal != NULL;
    e->counts.unknown += !job && !refusal;
    e->cb(e->ctx, tag, job, refusal);
}

/* Ends all pending jobs as unknown. */
static void lose(struct push_pipeline *e, const char *why)
{
    stop(e, -ENOTCONN, why);
    e->answered = e->uncovered = e->waits = 0;
    e->wait_is_next = false;
    while (e->pending) {
        struct sent s = pop(e);

        free(s.job);
        end_job(e, s.tag, NULL, s.refusal);
        free(s.refusal);
    }
}

/* Redis has the jobs, but too few replicas do. */
static void lose_few(struct push_pipeline *e, const struct replicas_few *few)
{
    char why[REPLICAS_FEW_ROOM];

    replicas_few_say(few, "the job", why);
    e->few = !e->stopped;
    lose(e, why);
}

/* Handles the answer to a WAIT: all jobs before it are confirmed, or none is. */
static void take_wait(struct push_pipeline *e, const struct redisReply *reply)
{
    struct replicas_few few;

    e->wait_is_next = false;
    e->waits--;
    if (!replicas_have(reply, e->replicas, &few)) {
        lose_few(e, &few);
        return;
    }
    while (e->answered) {
        struct sent s = pop(e);

        e->answered--;
        end_job(e, s.tag, s.job, s.refusal);
        free(s.job);
        free(s.refusal);
    }
}

/* Handles the answer to the oldest job without one. */
static void take_answer(struct push_pipeline *e, const struct redisReply *reply)
{
    struct sent *s = nth(e, e->answered);
    struct span text = reply_text(reply);
    bool refused = reply_refused(reply);
    char job[JOB_ROOM];

    snprintf(job, sizeof(job), "%s-%.*s", lane_names[s->lane], (int)text.n, text.p);
    if (refused)
        stop(e, -EIO, text.p);
    if (e->replicas == 0) {
        end_job(e, pop(e).tag, refused ? NULL : job, refused ? text.p : NULL);
        return;
    }
    s->job = refused ? NULL : alloc_str(job);
    s->refusal = refused ? alloc_copy(text.p, text.n) : NULL;
    e->answered++;
    e->wait_is_next = s->then_wait;
}

static void take_next(struct push_pipeline *e, const struct redisReply *reply)
{
    if (e->wait_is_next)
        take_wait(e, reply);
    else
        take_answer(e, reply);
}

/* -- sending and receiving -- */

/* Sends a WAIT behind the jobs that have none. */
static void cover(struct push_pipeline *e)
{
    struct replicas_wait w;

    if (e->replicas == 0 || e->uncovered == 0)
        return;
    replicas_wait(&w, e->replicas);
    client_send(e->client, REPLICAS_ARGC, w.argv);
    nth(e, e->pending - 1)->then_wait = true;
    e->uncovered = 0;
    e->waits++;
}

/* Waits for answers until at most `jobs` and `bytes` are pending. */
static void collect(struct push_pipeline *e, size_t jobs, size_t bytes)
{
    struct redisReply *reply;

    while (e->pending > jobs || e->bytes > bytes) {
        if (e->waits == 0)
            cover(e);
        if (client_receive(e->client, &reply) < 0) {
            lose(e, client_error(e->client));
            return;
        }
        take_next(e, reply);
    }
}

/* Sends XADD stream * fields... Returns the bytes of the fields. */
static size_t send_job(struct push_pipeline *e, enum lane lane, const struct span *fields,
                       size_t count)
{
    size_t bytes = 0;

    if (e->argv_room < count + 3) {
        e->argv_room = count + 3;
        e->argv = alloc_grow(e->argv, e->argv_room, sizeof(*e->argv));
    }
    e->argv[0] = SPAN("XADD");
    e->argv[1] = span_str(e->streams[lane]);
    e->argv[2] = SPAN("*");
    for (size_t i = 0; i < count; i++) {
        e->argv[3 + i] = fields[i];
        bytes += fields[i].n;
    }
    client_send(e->client, count + 3, e->argv);
    return bytes;
}

/* 0, or the error that stopped the pipeline. */
static int report_stop(const struct push_pipeline *e, struct error *err)
{
    if (e->stopped)
        *err = e->why;
    return e->stopped;
}

int push_pipeline_put(struct push_pipeline *e, enum lane lane, const struct span *fields,
                      size_t fields_count, uint64_t tag, struct error *err)
{
    struct job_spec spec;
    struct sent *s;

    if (e->stopped)
        return report_stop(e, err);
    if (job_decode(&e->decoder, account_for(e, fields, fields_count), fields, fields_count, &spec,
                   err) < 0)
        return -EINVAL;
    if (e->pending == ENQUEUE_WINDOW || e->bytes > PENDING_MAX_BYTES)
        collect(e, ENQUEUE_WINDOW / 2, PENDING_MAX_BYTES / 2);
    if (e->stopped)
        return report_stop(e, err);
    s = &e->ring[(e->head + e->pending++) % ENQUEUE_WINDOW];
    *s = (struct sent){.tag = tag, .lane = lane, .bytes = send_job(e, lane, fields, fields_count)};
    e->bytes += s->bytes;
    if (++e->uncovered == ENQUEUE_WINDOW / 2)
        cover(e);
    return 0;
}

int push_pipeline_finish(struct push_pipeline *e, struct error *err)
{
    collect(e, 0, 0);
    return report_stop(e, err);
}

int push_pipeline_poll(struct push_pipeline *e, int timeout_ms, struct error *err)
{
    struct redisReply *reply;
    int rc = 0;

    cover(e);
    if (e->pending)
        rc = client_flush(e->client);
    while (rc == 0 && e->pending) {
        rc = client_wait(e->client, timeout_ms, &reply);
        if (rc == 0)
            take_next(e, reply);
        timeout_ms = 0; /* then only those that have already arrived */
    }
    if (rc < 0 && rc != -ETIMEDOUT)
        lose(e, client_error(e->client));
    return report_stop(e, err);
}

void push_pipeline_abandon(struct push_pipeline *e)
{
    lose(e, "abandoned");
}

bool push_pipeline_few(const struct push_pipeline *e)
{
    return e->few;
}

size_t push_pipeline_pending(const struct push_pipeline *e)
{
    return e->pending;
}
