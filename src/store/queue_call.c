/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"
#include "redis_error.h"

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

static int refusal_err(struct queue *q, const char *words)
{
    snprintf(q->error, sizeof(q->error), "%s", words);
    return redis_error_is_full(redis_error_of(words)) ? -ENOMEM : -EIO;
}

static int reply_err(struct queue *q, const struct redisReply *reply)
{
    if (!reply)
        return -ENOTCONN;
    return reply_refused(reply) ? refusal_err(q, reply_text(reply).p) : 0;
}

/* -- refusals -- */

/* What a script is for, in words that follow "Redis refuses to". */
static const char *const doing_of[SCRIPT_QUEUE_N] = {
    [SCRIPT_LANES] = NULL, /* part of the set-up, which reports refusals itself */
    [SCRIPT_DEPTH] = "count the lanes",
    [SCRIPT_LEAD] = "give or renew the lease",
    [SCRIPT_RELEASE] = "take the lease back",
    [SCRIPT_DROP] = "record finished jobs",
    [SCRIPT_PURGED] = "record finished jobs",
    [SCRIPT_SETTLE] = "record finished jobs",
    [SCRIPT_OVERSIZED] = "record finished jobs",
    [SCRIPT_END_LARGE] = "record finished jobs",
    [SCRIPT_WRITE] = "write a large job",
    [SCRIPT_WRITE_HASH] = "postpone a large job",
    [SCRIPT_DUE] = "bring postponed jobs back",
    [SCRIPT_RETURNED] = "bring postponed jobs back",
    [SCRIPT_ADOPT] = "move what version 0.1.0 postponed",
    [SCRIPT_SPEND] = "reserve budget",
    [SCRIPT_RESTORE] = "read the budget",
    [SCRIPT_TAKE_READ] = "count requests to Fastly's API",
    [SCRIPT_HOLD_READS] = "count requests to Fastly's API",
    [SCRIPT_EXAMINE] = NULL, /* sent after a refusal, to find its cause */
};

static void note_refusal(struct queue *q, uint64_t question, const char *doing)
{
    const struct queue_refusal r = {.question = question, .doing = doing, .words = q->error};
    uint64_t *at = NULL;

    for (size_t i = 0; i < array_len(q->refused); i++) {
        if (q->refused[i] == question) {
            at = &q->refused[i];
            break;
        }
        if (q->refused[i] == 0)
            at = &q->refused[i];
    }
    if (at)
        *at = question;
    if (q->cb.refused)
        q->cb.refused(q->ctx, &r);
}

static void note_answer(struct queue *q, uint64_t question)
{
    for (size_t i = 0; i < array_len(q->refused); i++) {
        if (q->refused[i] != question)
            continue;
        q->refused[i] = 0;
        if (q->cb.accepted)
            q->cb.accepted(q->ctx, question);
    }
}

static int judge(struct queue *q, uint64_t question, const char *doing, int err)
{
    if (!doing || err == -ENOTCONN)
        return err;
    if (err)
        note_refusal(q, question, doing);
    else
        note_answer(q, question);
    return err;
}

int queue_judge(struct queue *q, uint64_t question, const char *doing,
                const struct redisReply *reply)
{
    return judge(q, question, doing, reply_err(q, reply));
}

int queue_judge_words(struct queue *q, uint64_t question, const char *doing, const char *words)
{
    return judge(q, question, doing, words ? refusal_err(q, words) : 0);
}

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t mix(uint64_t hash, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    return hash | UINT64_C(1) << 63; /* larger than QUEUE_QUESTION_READ */
}

#define MIX_START UINT64_C(14695981039346656037)

/* Each script is a separate question for each set of keys, because lanes are settled, and ledgers
 * booked, independently. */
static uint64_t question_of(enum script script, const struct queue_args *a)
{
    unsigned char which = (unsigned char)script;
    uint64_t hash = mix(MIX_START, (const char *)&which, 1);

    return a->keys ? mix(hash, a->bytes, a->at[a->keys - 1].offset + a->at[a->keys - 1].n) : hash;
}

int queue_distrust(struct queue *q)
{
    snprintf(q->error, sizeof(q->error), "an answer has not the form that Redis gives it");
    return -EIO;
}

/* -- calls -- */

struct queue_call {
    struct list link; /* in the queue's calls */
    struct queue *q;  /* NULL: it was told that the outcome is unknown */
    bool unsent;      /* the queue was closed already */
    queue_reply_cb *cb;
    void *ctx;
    uint64_t question;
    char doing[32]; /* "": refusals are not reported */
    enum script script;
    bool whole; /* the text was sent, not its digest */
    struct queue_args args;
};

static void free_call(struct queue_call *c)
{
    queue_args_deinit(&c->args);
    free(c);
}

static void end_call(struct queue_call *c, int err, struct redisReply *reply)
{
    list_remove(&c->link);
    c->cb(c->q, c->ctx, err, err ? NULL : reply);
    free_call(c);
}

static void on_reply(void *ctx, struct redisReply *reply)
{
    struct queue_call *c = ctx;

    if (c->q)
        end_call(c, queue_judge(c->q, c->question, *c->doing ? c->doing : NULL, reply), reply);
    else
        free_call(c);
}

void queue_fail_calls(struct queue *q)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &q->calls);
    while ((node = list_pop_front(&now))) {
        struct queue_call *c = list_entry(node, struct queue_call, link);

        c->q = NULL;
        c->cb(q, c->ctx, -ENOTCONN, NULL);
        if (c->unsent)
            free_call(c);
    }
}

/* A queue that is closed sends nothing on connections that others go on using. */
static bool may_send(struct queue_call *c)
{
    c->unsent = c->q->closed && c->q->connections->shared;
    if (c->unsent)
        connections_turn_soon(c->q->connections);
    return !c->unsent;
}

static struct queue_call *new_call(struct queue *q, queue_reply_cb *cb, void *ctx)
{
    struct queue_call *c = alloc_zeroed(1, sizeof(*c));

    c->q = q;
    c->cb = cb;
    c->ctx = ctx;
    queue_args_init(&c->args);
    list_push_back(&q->calls, &c->link);
    return c;
}

static void send_plain(struct queue_call *c, size_t argc, const struct span *argv)
{
    if (may_send(c))
        redis_command(c->q->writer->redis, argc, argv, on_reply, c);
}

void queue_call(struct queue *q, size_t argc, const struct span *argv, queue_reply_cb *cb,
                void *ctx)
{
    struct queue_call *c = new_call(q, cb, ctx);

    c->question = mix(MIX_START, argv[0].p, argv[0].n);
    if (argc > 1)
        c->question = mix(c->question, argv[1].p, argv[1].n);
    snprintf(c->doing, sizeof(c->doing), "run %.*s", (int)argv[0].n, argv[0].p);
    send_plain(c, argc, argv);
}

void queue_call_courtesy(struct queue *q, size_t argc, const struct span *argv, queue_reply_cb *cb,
                         void *ctx)
{
    send_plain(new_call(q, cb, ctx), argc, argv);
}

static void send_script(struct queue_call *c);

/* The lease and the budget are only held and reserved when the replicas know, too. Whatever else a
 * failover undoes is done once more: a job is purged twice. */
static bool needs_replicas(enum script script)
{
    return script == SCRIPT_LEAD || script == SCRIPT_SPEND || script == SCRIPT_RESTORE;
}

/* Too few replicas count as a refusal: nothing is done until there are enough. */
static void end_few(struct queue_call *c, const struct replicas_few *few)
{
    char words[200];
    int err;

    if (few->refusal)
        snprintf(words, sizeof(words), "%s", few->refusal);
    else
        snprintf(words, sizeof(words), "UNREPLICATED %u of %u replicas have what was written",
                 few->have, few->want);
    err = queue_judge_words(c->q, c->question, *c->doing ? c->doing : NULL, words);
    end_call(c, err, NULL);
}

static void on_script(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    struct queue_call *c = ctx;

    if (c->q && !c->whole && reply_refused(reply) &&
        redis_error_of(reply_text(reply).p) == REDIS_ERROR_NOSCRIPT) {
        c->whole = true; /* EVAL loads it again, under the same digest */
        send_script(c);
        return;
    }
    if (c->q && few)
        end_few(c, few);
    else
        on_reply(c, reply);
}

static void on_plain_script(void *ctx, struct redisReply *reply)
{
    on_script(ctx, reply, NULL);
}

static void send_script(struct queue_call *c)
{
    const struct queue_writer *w = c->q->writer;
    const struct queue_args *a = &c->args;
    struct span few[32], *argv = few;
    char keys[24];

    if (!may_send(c))
        return;
    if (a->count + 3 > array_len(few))
        argv = alloc_zeroed(a->count + 3, sizeof(*argv));
    argv[0] = c->whole ? SPAN("EVAL") : SPAN("EVALSHA");
    argv[1] = span_str(c->whole ? scripts[c->script].text : w->sha[c->script]);
    argv[2] = span_of(keys, put_u64(keys, a->keys));
    for (size_t i = 0; i < a->count; i++)
        argv[3 + i] = span_of(a->bytes + a->at[i].offset, a->at[i].n);
    if (needs_replicas(c->script))
        replicated_command(w->replicated, a->count + 3, argv, on_script, c);
    else
        redis_command(w->redis, a->count + 3, argv, on_plain_script, c);
    if (argv != few)
        free(argv);
}

void queue_call_script(struct queue *q, enum script script, struct queue_args *a,
                       queue_reply_cb *cb, void *ctx)
{
    struct queue_call *c = new_call(q, cb, ctx);

    c->question = question_of(script, a);
    if (doing_of[script])
        snprintf(c->doing, sizeof(c->doing), "%s", doing_of[script]);
    c->script = script;
    c->whole = q->writer->sha[script][0] == '\0';
    c->args = *a;
    queue_args_init(a);
    send_script(c);
}
