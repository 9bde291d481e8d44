/* SPDX-License-Identifier: MIT
 * Blocking work for a request: it has its own connection to Redis and runs on another thread while
 * the endpoint's loop continues. Only a few run at a time; further requests are told to try again.
 *
 *   chore_begin ─▶ thread: connects, works ─▶ loop: answers the errand, drops it
 *
 * The request may be gone before the work ends, so an order copies everything it needs. */
#pragma once

#include "desk.h"
#include "thread.h"

struct chore;
struct client;

typedef void chore_work_cb(struct chore *c);

enum chore_kind {
    CHORE_ADMIN, /* requested by an operator */
    CHORE_PLAN,  /* requested by any producer: never uses the threads reserved for operators */
};

struct chore {
    void *order;
    struct client *client;
    char by[192]; /* name and address of the client */

    /* -- chore.c's -- */
    struct errand *errand; /* the loop's */
    enum chore_kind kind;
    const struct redis_address *redis;
    chore_work_cb *work;
    thread_cb *free_order;
    int status;
    struct json_t *json;
    char why[300];
};

/* Takes the order, which `free_order` frees. Replies immediately if Redis cannot be reached or too
 * many chores are running. */
void chore_begin(struct errand *e, enum chore_kind kind, chore_work_cb *work, void *order,
                 thread_cb *free_order);

/* Whether one more thread may be used; code that does so without chore_begin must count
 * in->chores. */
bool chore_has_room(const struct ingress *in);

/* -- the reply, to be made once by the work function -- */
void chore_say(struct chore *c, int status, struct json_t *j); /* takes j */
void chore_refuse(struct chore *c, int status, const char *fmt, ...) print_like(3, 4);
bool chore_answered(const struct chore *c);
/* Replies after a failed command. `done` says what was done nevertheless; "" for nothing. */
void chore_redis_failed(struct chore *c, int err, const char *done);
/* The outcome in one word, for the log. */
const char *chore_outcome(int err);
