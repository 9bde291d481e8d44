/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"

/* libuv has four threads. One of them is left for the name lookups of the dispatch loop. */
#define CHORES_MAX 3u
#define PLANS_MAX 1u
#define ANSWER_MAX_S 10    /* for one Redis command: stopping has to wait for it */
#define PATIENCE_MS 60000u /* for the reply to the client */
#define RETRY_MS 2000

/* -- on the thread -- */

void task_say(struct task *c, int status, json_t *j)
{
    must(c->status == 0);
    c->status = status;
    c->json = j;
}

void task_refuse(struct task *c, int status, const char *fmt, ...)
{
    va_list ap;

    must(c->status == 0);
    c->status = status;
    va_start(ap, fmt);
    error_vset(&c->why, -EIO, fmt, ap);
    va_end(ap);
}

bool task_answered(const struct task *c)
{
    return c->status != 0;
}

void task_redis_failed(struct task *c, int err, const char *done)
{
    const char *between = *done ? "; " : "";

    if (err == CLIENT_FEW)
        task_refuse(c, 503, "%.300s%s%s", client_error(c->client), between, done);
    else if (err == -EIO)
        task_refuse(c, 503, "Redis refuses: %.200s%s%s", client_error(c->client), between, done);
    else
        task_refuse(c, 503, "Redis gives no answer: whether it is done is not known%s%s", between,
                    done);
}

const char *task_outcome(int err)
{
    return err == 0            ? "done"
           : err == -EIO       ? "refused"
           : err == CLIENT_FEW ? "unreplicated"
                               : "unknown";
}

static void run_task(void *ctx)
{
    struct task *c = ctx;
    struct error why;

    if (client_open(c->redis, &c->client, &why) < 0) {
        task_refuse(c, 503, "Redis is away");
        return;
    }
    client_set_patience(c->client, ANSWER_MAX_S);
    c->work(c);
    must(c->status != 0);
    client_close(c->client);
    c->client = NULL;
}

/* -- on the loop -- */

static void answer_task(struct task *c)
{
    if (c->json)
        request_say_json(c->request, c->status, c->json);
    else
        request_refuse(c->request, c->status, c->why.text);
}

static void on_done(void *ctx)
{
    struct task *c = ctx;
    struct http_server *in = c->request->in;

    answer_task(c);
    request_drop(c->request);
    c->free_order(c->order);
    in->tasks--;
    in->plans -= c->kind == TASK_PLAN;
    free(c);
    http_server_task_over(in);
}

static void on_task_late(struct request *e)
{
    bool changes = strcmp(e->route->method, "GET") != 0 && e->route->access == ROUTE_ADMIN;

    request_refuse(e, 503,
                   changes ? "this takes longer than a minute and continues in the background: "
                             "check the result before you repeat it"
                           : "this takes longer than a minute; try again later, or ask for less");
}

bool task_has_room(const struct http_server *in)
{
    return in->tasks < CHORES_MAX;
}

/* Refuses the client; the work that it has ordered continues. */
static void on_task_withdrawn(struct request *e, int status, const char *why)
{
    request_refuse(e, status, why);
}

static const char *why_not(const struct http_server *in, enum task_kind kind)
{
    if (!submit_is_up(in->submit, NULL))
        return "Redis is away";
    if (!task_has_room(in) || (kind == TASK_PLAN && in->plans >= PLANS_MAX))
        return "too many requests of this kind are in progress";
    return NULL;
}

void task_begin(struct request *e, enum task_kind kind, task_work_cb *cb, void *order,
                thread_cb *free_order)
{
    struct http_server *in = e->in;
    const char *why = why_not(in, kind);
    struct task *c;

    if (why) {
        request_refuse_later(e, 503, RETRY_MS, why);
        free_order(order);
        return;
    }
    c = alloc_zeroed(1, sizeof(*c));
    c->order = order;
    c->kind = kind;
    c->redis = in->options.redis;
    c->work = cb;
    c->free_order = free_order;
    c->request = request_hold(e);
    snprintf(c->by, sizeof(c->by), "%.120s from %s", e->who->name, visit_peer(e->visit));
    e->late = on_task_late;
    e->withdrawn = on_task_withdrawn;
    visit_set_patience(e->visit, PATIENCE_MS);
    in->tasks++;
    in->plans += kind == TASK_PLAN;
    thread_work(in->loop, run_task, on_done, c);
}
