/* SPDX-License-Identifier: MIT */
#include "push_pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"

#define PENDING_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct sent {
    uint64_t tag;
    enum lane lane;
    size_t bytes;
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
    struct span *argv;
    size_t argv_room;
    struct push_pipeline_counts counts;
    int stopped; /* -EIO or -ENOTCONN: nothing more is sent */
    struct error why;
    struct config_account lone; /* the account with the one service that a job names */
    struct config_service service;
    char service_id[SERVICE_ID_MAX_BYTES + 1];
};

struct push_pipeline *push_pipeline_new(struct client *c, const struct config_account *account,
                                        push_pipeline_cb *cb, void *ctx)
{
    struct push_pipeline *e = alloc_zeroed(1, sizeof(*e));

    e->client = c;
    e->account = account;
    e->cb = cb;
    e->ctx = ctx;
    job_decoder_init(&e->decoder);
    for (int lane = 0; lane < LANE_N; lane++)
        e->streams[lane] = redis_key_lane(account->name, (enum lane)lane);
    return e;
}

void push_pipeline_free(struct push_pipeline *e)
{
    if (!e)
        return;
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

/* A producer's machine need not know the services. If none is configured, the service that the job
 * names is accepted here, and the dispatcher, which knows the services, decides. */
static const struct config_account *account_for(struct push_pipeline *e, const struct span *fields,
                                                size_t count)
{
    if (e->account->services_count)
        return e->account;
    for (size_t i = 0; i < count; i += 2) {
        if (!span_is(fields[i], "service") || !service_id_ok(fields[i + 1]))
            continue;
        snprintf(e->service_id, sizeof(e->service_id), "%.*s", (int)fields[i + 1].n,
                 fields[i + 1].p);
        e->service = (struct config_service){.id = e->service_id, .name = (char *)""};
        e->lone = *e->account;
        e->lone.services = &e->service;
        e->lone.services_count = 1;
        return &e->lone;
    }
    return e->account;
}

static void stop(struct push_pipeline *e, int rc, const char *why)
{
    if (e->stopped)
        return;
    e->stopped = rc;
    error_set(&e->why, rc, "%s", why);
}

static void take_answer(struct push_pipeline *e, const struct sent *s,
                        const struct redisReply *reply)
{
    struct span text = reply_text(reply);
    char job[96];

    if (reply_refused(reply)) {
        e->counts.refused++;
        stop(e, -EIO, text.p);
        e->cb(e->ctx, s->tag, NULL, text.p);
        return;
    }
    e->counts.accepted++;
    snprintf(job, sizeof(job), "%s-%.*s", lane_names[s->lane], (int)text.n, text.p);
    e->cb(e->ctx, s->tag, job, NULL);
}

/* Ends all pending jobs as unknown, because the connection is gone. */
static void lose(struct push_pipeline *e, const char *why)
{
    stop(e, -ENOTCONN, why);
    e->bytes = 0;
    for (; e->pending; e->pending--) {
        uint64_t tag = e->ring[e->head].tag;

        e->head = (e->head + 1) % ENQUEUE_WINDOW;
        e->counts.unknown++;
        e->cb(e->ctx, tag, NULL, NULL);
    }
}

static void take_next(struct push_pipeline *e, const struct redisReply *reply)
{
    const struct sent s = e->ring[e->head];

    e->head = (e->head + 1) % ENQUEUE_WINDOW;
    e->pending--;
    e->bytes -= s.bytes;
    take_answer(e, &s, reply);
}

/* Waits for answers until at most `jobs` and `bytes` are pending. */
static void collect(struct push_pipeline *e, size_t jobs, size_t bytes)
{
    struct redisReply *reply;

    while (e->pending > jobs || e->bytes > bytes) {
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
    int rc = e->pending ? client_flush(e->client) : 0;

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

size_t push_pipeline_pending(const struct push_pipeline *e)
{
    return e->pending;
}
