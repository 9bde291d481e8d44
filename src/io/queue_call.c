/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

/* -- arguments -- */

void queue_args_init(struct queue_args *a)
{
    *a = (struct queue_args){0};
}

void queue_args_deinit(struct queue_args *a)
{
    free(a->bytes);
    free(a->at);
    *a = (struct queue_args){0};
}

static char *more_bytes(struct queue_args *a, size_t n)
{
    if (a->room - a->n < n) {
        a->room = (a->room + n) * 2;
        a->bytes = alloc_grow(a->bytes, a->room, 1);
    }
    return a->bytes + a->n;
}

static void end_arg(struct queue_args *a, size_t n)
{
    if (a->count == a->at_room) {
        a->at_room = a->at_room ? a->at_room * 2 : 16;
        a->at = alloc_grow(a->at, a->at_room, sizeof(*a->at));
    }
    a->at[a->count++] = (struct arg){a->n, n};
    a->n += n;
}

void queue_arg(struct queue_args *a, struct span s)
{
    char *at = more_bytes(a, s.n + 1);

    if (s.n)
        memcpy(at, s.p, s.n);
    end_arg(a, s.n);
}

static size_t put_u64(char *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10));
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

void queue_arg_u64(struct queue_args *a, uint64_t value)
{
    end_arg(a, put_u64(more_bytes(a, 20), value));
}

void queue_arg_id(struct queue_args *a, struct entry_id id)
{
    char *at = more_bytes(a, 41);
    size_t n = put_u64(at, id.ms);

    at[n++] = '-';
    n += put_u64(at + n, id.seq);
    end_arg(a, n);
}

void queue_key(struct queue_args *a, const char *key)
{
    must(a->keys == a->count);
    queue_arg(a, span_str(key));
    a->keys++;
}

struct span queue_arg_at(const struct queue_args *a, size_t i)
{
    return span_of(a->bytes + a->at[i].offset, a->at[i].n);
}

/* -- replies -- */

bool queue_reply_is(const struct redisReply *reply, const char *word)
{
    return reply && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, word);
}

int queue_refusal_err(struct queue *q, const char *words)
{
    static const char *const full[] = {"OOM ", "MISCONF ", "NOREPLICAS "};

    snprintf(q->error, sizeof(q->error), "%s", words);
    /* Redis 6 wraps a script's errors: "ERR Error running script ... -OOM command not ..." */
    for (size_t i = 0; i < array_len(full); i++)
        if (strstr(words, full[i]))
            return -ENOMEM;
    return -EIO;
}

int queue_reply_err(struct queue *q, const struct redisReply *reply)
{
    if (!reply)
        return -ENOTCONN;
    return reply->type == REDIS_REPLY_ERROR ? queue_refusal_err(q, reply->str) : 0;
}

/* -- calls -- */

struct call {
    struct queue *q;
    queue_reply_cb *cb;
    void *ctx;
    enum queue_script script;
    bool whole; /* the text was sent, not its digest */
    struct queue_args args;
};

static void on_reply(void *ctx, struct redisReply *reply)
{
    struct call *c = ctx;
    struct queue *q = c->q;
    int err = queue_reply_err(q, reply);

    c->cb(q, c->ctx, err, err ? NULL : reply);
    free(c);
}

void queue_call(struct queue *q, struct redis *r, size_t argc, const struct span *argv,
                queue_reply_cb *cb, void *ctx)
{
    struct call *c = alloc_zeroed(1, sizeof(*c));

    c->q = q;
    c->cb = cb;
    c->ctx = ctx;
    redis_command(r, argc, argv, on_reply, c);
}

static void send_script(struct call *c);

static void on_script(void *ctx, struct redisReply *reply)
{
    struct call *c = ctx;

    if (!c->whole && queue_reply_is(reply, "NOSCRIPT")) {
        c->whole = true; /* EVAL teaches it again, under the same digest */
        send_script(c);
        return;
    }
    queue_args_deinit(&c->args);
    on_reply(c, reply);
}

static void send_script(struct call *c)
{
    const struct queue_args *a = &c->args;
    struct span few[32], *argv = few;
    char keys[24];

    if (a->count + 3 > array_len(few))
        argv = alloc_zeroed(a->count + 3, sizeof(*argv));
    argv[0] = c->whole ? SPAN("EVAL") : SPAN("EVALSHA");
    argv[1] = span_str(c->whole ? queue_scripts[c->script] : c->q->sha[c->script]);
    argv[2] = span_of(keys, put_u64(keys, a->keys));
    for (size_t i = 0; i < a->count; i++)
        argv[3 + i] = span_of(a->bytes + a->at[i].offset, a->at[i].n);
    redis_command(c->q->writer, a->count + 3, argv, on_script, c);
    if (argv != few)
        free(argv);
}

void queue_call_script(struct queue *q, enum queue_script script, struct queue_args *a,
                       queue_reply_cb *cb, void *ctx)
{
    struct call *c = alloc_zeroed(1, sizeof(*c));

    c->q = q;
    c->cb = cb;
    c->ctx = ctx;
    c->script = script;
    c->whole = q->sha[script][0] == '\0';
    c->args = *a;
    queue_args_init(a);
    send_script(c);
}
