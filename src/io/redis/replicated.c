/* SPDX-License-Identifier: MIT */
#include "replicated.h"

#include <stdlib.h>

#include "alloc.h"
#include "list.h"
#include "redis_reads.h"
#include "reply.h"

struct replicated {
    struct redis *redis;
    uint32_t replicas;
    struct list open;    /* commands that no WAIT covers yet */
    struct list covered; /* by the WAIT under way */
    bool waiting;        /* a WAIT is under way */
};

struct command {
    struct list link;
    struct replicated *x;
    replicated_cb *cb;
    void *ctx;
    struct redisReply *kept; /* a duplicate: hiredis frees its own */
};

struct replicated *replicated_new(struct redis *r, uint32_t replicas)
{
    struct replicated *x = alloc_zeroed(1, sizeof(*x));

    x->redis = r;
    x->replicas = replicas;
    list_init(&x->open);
    list_init(&x->covered);
    return x;
}

void replicated_free(struct replicated *x)
{
    must(list_empty(&x->open) && list_empty(&x->covered));
    free(x);
}

/* -- waiting for replicas -- */

static void finish(struct command *c, struct redisReply *reply, const struct replicas_few *few)
{
    c->cb(c->ctx, reply, few);
    reply_free_duplicate(c->kept);
    free(c);
}

static void wait_for_replicas(struct replicated *x);

static void on_waited(void *ctx, struct redisReply *reply)
{
    struct replicated *x = ctx;
    struct replicas_few few;
    bool enough = replicas_have(reply, x->replicas, &few);
    struct list done, *node;

    list_init(&done);
    list_splice_back(&done, &x->covered);
    x->waiting = false;
    if (!list_empty(&x->open))
        wait_for_replicas(x);
    while ((node = list_pop_front(&done))) {
        struct command *c = list_entry(node, struct command, link);

        finish(c, enough ? c->kept : NULL, reply && !enough ? &few : NULL);
    }
}

static void wait_for_replicas(struct replicated *x)
{
    struct replicas_wait w;

    list_splice_back(&x->covered, &x->open);
    x->waiting = true;
    replicas_wait(&w, x->replicas);
    redis_command(x->redis, REPLICAS_ARGC, w.argv, on_waited, x);
}

/* -- commands -- */

static void on_reply(void *ctx, struct redisReply *reply)
{
    struct command *c = ctx;

    if (reply && !reply_refused(reply) && c->x->replicas) {
        c->kept = reply_duplicate(reply);
        return;
    }
    list_remove(&c->link);
    finish(c, reply, NULL);
}

void replicated_command(struct replicated *x, size_t argc, const struct span *argv,
                        replicated_cb *cb, void *ctx)
{
    struct command *c = alloc_zeroed(1, sizeof(*c));

    *c = (struct command){.x = x, .cb = cb, .ctx = ctx};
    list_push_back(&x->open, &c->link);
    redis_command(x->redis, argc, argv, on_reply, c);
    if (x->replicas && !x->waiting)
        wait_for_replicas(x);
}

void redis_ask(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb, void *ctx)
{
    must(redis_only_reads(argc, argv));
    redis_command(r, argc, argv, cb, ctx);
}
