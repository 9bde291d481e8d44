/* SPDX-License-Identifier: MIT
 * Blocking work for a request: it has its own connection to Redis and runs on another thread while
 * the endpoint's loop continues. Only a few run at a time; further requests are told to try again.
 *
 *   task_begin ─▶ thread: connects, works ─▶ loop: answers the request, drops it
 *
 * The request may be gone before the work ends, so an order copies everything it needs. */
#pragma once

#include "http_internal.h"
#include "thread.h"

struct task;
struct client;

typedef void task_work_cb(struct task *c);

enum task_kind {
    TASK_ADMIN, /* requested by an operator */
    TASK_PLAN,  /* requested by any producer: never uses the threads reserved for operators */
};

struct task {
    void *order;
    struct client *client;
    char by[192]; /* name and address of the client */

    /* -- worker.c's -- */
    struct request *request; /* the loop's */
    enum task_kind kind;
    const struct redis_address *redis;
    task_work_cb *work;
    thread_cb *free_order;
    int status;
    struct json_t *json;
    struct error why;
};

/* Takes the order, which `free_order` frees. Replies immediately if Redis cannot be reached or too
 * many tasks are running. */
void task_begin(struct request *e, enum task_kind kind, task_work_cb *work, void *order,
                thread_cb *free_order);

/* Whether one more thread may be used; code that does so without task_begin must count
 * in->tasks. */
bool task_has_room(const struct http_server *in);

/* -- the reply, to be made once by the work function -- */
void task_say(struct task *c, int status, struct json_t *j); /* takes j */
void task_refuse(struct task *c, int status, const char *fmt, ...) print_like(3, 4);
bool task_answered(const struct task *c);
/* Replies after a failed command. `done` says what was done nevertheless; "" for nothing. */
void task_redis_failed(struct task *c, int err, const char *done);
/* The outcome in one word, for the log. */
const char *task_outcome(int err);
