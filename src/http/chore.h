/* SPDX-License-Identifier: MIT
 * Work for a visitor that blocks: it has a connection to Redis of its own and runs on another
 * thread while the endpoint's loop goes on. A few at once; who comes then is told to come again.
 *
 *   chore_begin ─▶ thread: connects, works ─▶ loop: answers the errand, drops it
 *
 * The visit may be gone meanwhile, and so may be what it lent: an order is a copy. */
#pragma once

#include "desk.h"
#include "thread.h"

struct chore;
struct client;

typedef void chore_work_cb(struct chore *c);

enum chore_kind {
    CHORE_ADMIN, /* what an operator asks for */
    CHORE_PLAN,  /* what every producer may ask for: never takes the operators' place */
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

/* Takes the order, which `free_order` frees. Answered at once when Redis is away or too many are
 * under way. */
void chore_begin(struct errand *e, enum chore_kind kind, chore_work_cb *work, void *order,
                 thread_cb *free_order);

/* Whether one more thread may be kept busy; who does so without chore_begin counts in->chores. */
bool chore_has_room(const struct ingress *in);

/* -- within the work, once: the answer -- */
void chore_say(struct chore *c, int status, struct json_t *j); /* takes j */
void chore_refuse(struct chore *c, int status, const char *fmt, ...) print_like(3, 4);
bool chore_answered(const struct chore *c);
/* After a failed command. `done` says what has happened all the same; "" for nothing. */
void chore_redis_failed(struct chore *c, int err, const char *done);
/* The same for the log, in a word. */
const char *chore_outcome(int err);
