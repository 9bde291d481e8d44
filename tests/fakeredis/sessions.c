/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

struct fakeredis *fakeredis_new(fakeredis_clock *now_us, void *ctx)
{
    struct fakeredis *f = alloc_zeroed(1, sizeof(*f));

    f->now_us = now_us;
    f->clock_ctx = ctx;
    f->policy = "noeviction";
    f->fsync = "always";
    f->history = "0000000000000000000000000000000000000001";
    map_init(&f->keys);
    list_init(&f->sessions);
    fakeredis_lua_open(f);
    return f;
}

void fakeredis_free(struct fakeredis *f)
{
    struct fakeredis_session *s;
    struct buf said;

    if (!f)
        return;
    must(list_empty(&f->sessions));
    s = fakeredis_open(f, NULL, NULL, NULL);
    buf_init(&said, 100);
    fakeredis_run(s, 1, (struct span[]){SPAN("FLUSHALL")}, &said);
    buf_deinit(&said);
    fakeredis_close(s);
    fakeredis_lua_close(f);
    free(f);
}

void fakeredis_set_full(struct fakeredis *f, const char *words)
{
    f->full = words;
}

void fakeredis_set_refusing(struct fakeredis *f, const char *words)
{
    f->refusing = words;
}

void fakeredis_set_policy(struct fakeredis *f, const char *maxmemory_policy)
{
    f->policy = maxmemory_policy;
}

void fakeredis_set_fsync(struct fakeredis *f, const char *appendfsync)
{
    f->fsync = appendfsync;
}

void fakeredis_set_replicas(struct fakeredis *f, unsigned have, unsigned connected)
{
    if (f->replicas_have == f->replicas)
        f->all_have = f->changes;
    f->replicas_have = have;
    f->replicas = connected;
}

void fakeredis_set_history(struct fakeredis *f, const char *replid)
{
    must(strlen(replid) == 40);
    f->history = replid;
}

void fakeredis_watch(struct fakeredis *f, const struct fakeredis_watch *w, void *ctx)
{
    f->watch = w ? *w : (struct fakeredis_watch){NULL, NULL, NULL};
    f->watch_ctx = ctx;
}

/* -- sessions -- */

struct fakeredis_session *fakeredis_open(struct fakeredis *f, fakeredis_message_cb *message,
                                         void (*changed)(void *ctx), void *ctx)
{
    struct fakeredis_session *s = alloc_zeroed(1, sizeof(*s));

    *s = (struct fakeredis_session){.f = f, .message = message, .changed = changed, .ctx = ctx};
    s->node = FAKEREDIS_NO_NODE;
    list_push_back(&f->sessions, &s->link);
    s->number = ++f->opened;
    return s;
}

struct fakeredis_session *fakeredis_open_at(struct fakeredis *f, int node, enum fakeredis_role role)
{
    struct fakeredis_session *s = fakeredis_open(f, NULL, NULL, NULL);

    must(f->cluster);
    s->node = node;
    s->role = role;
    return s;
}

uint64_t fakeredis_number(const struct fakeredis_session *s)
{
    return s->number;
}

uint64_t fakeredis_written(const struct fakeredis_session *s)
{
    return s->written;
}

static void forget_queued(struct fakeredis_session *s)
{
    for (size_t i = 0; i < s->queued_count; i++) {
        for (size_t k = 0; k < s->queued[i].argc; k++)
            free(s->queued[i].argv[k].p);
        free(s->queued[i].argv);
    }
    free(s->queued);
    s->queued = NULL;
    s->queued_count = 0;
    s->multi = s->spoilt = false;
    s->queued_flags = 0;
}

static void forget_watched(struct fakeredis_session *s)
{
    texts_free(&s->watched);
    s->dirty = false;
}

void sessions_touch(struct fakeredis *f, struct span key)
{
    list_each(node, &f->sessions) {
        struct fakeredis_session *s = list_entry(node, struct fakeredis_session, link);

        for (size_t i = 0; i < s->watched.count && cluster_same_node(f, s); i++)
            s->dirty |= span_eq(bytes_span(s->watched.items[i]), key);
    }
}

void session_forget(struct fakeredis_session *s)
{
    forget_queued(s);
    forget_watched(s);
}

void fakeredis_close(struct fakeredis_session *s)
{
    session_forget(s);
    texts_free(&s->channels);
    list_remove(&s->link);
    free(s);
}

/* -- transactions -- */

static void run_multi(struct ask *a)
{
    if (a->s->multi) {
        say_error(a, "ERR MULTI calls can not be nested");
        return;
    }
    a->s->multi = true;
    say_status(a, "OK");
}

static void run_discard(struct ask *a)
{
    if (!a->s->multi) {
        say_error(a, "ERR DISCARD without MULTI");
        return;
    }
    session_forget(a->s);
    say_status(a, "OK");
}

static void run_watch(struct ask *a)
{
    if (a->s->multi) {
        say_error(a, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < a->argc; i++) {
        (void)value_find(a->f, a->argv[i]); /* what has expired before has not changed since */
        texts_push(&a->s->watched, a->argv[i]);
    }
    say_status(a, "OK");
}

static void run_unwatch(struct ask *a)
{
    forget_watched(a->s);
    say_status(a, "OK");
}

/* Has one of them changed, or expired? */
static bool watched_changed(struct fakeredis_session *s)
{
    for (size_t i = 0; i < s->watched.count; i++)
        (void)value_find(s->f, bytes_span(s->watched.items[i]));
    return s->dirty;
}

static void run_queued(const struct ask *a, const struct queued *q)
{
    struct span *argv = alloc_zeroed(q->argc, sizeof(*argv));
    struct ask each = {.f = a->f, .s = a->s, .argc = q->argc, .argv = argv, .out = a->out};

    for (size_t i = 0; i < q->argc; i++)
        argv[i] = bytes_span(q->argv[i]);
    each.command = fakeredis_command(q->argc, argv);
    fakeredis_carry_out(&each);
    free(argv);
}

static void run_exec(struct ask *a)
{
    struct fakeredis_session *s = a->s;

    if (!s->multi) {
        say_error(a, "ERR EXEC without MULTI");
        return;
    }
    if (s->spoilt) {
        say_error(a, "EXECABORT Transaction discarded because of previous errors.");
    } else if (watched_changed(s)) {
        say_no_array(a);
    } else {
        s->multi = false;
        say_array(a, s->queued_count);
        for (size_t i = 0; i < s->queued_count; i++)
            run_queued(a, &s->queued[i]);
    }
    session_forget(s);
}

const struct command fakeredis_transactions[] = {
    {"multi", 1, NOT_IN_SCRIPTS | AT_ONCE, run_multi},
    {"exec", 1, NOT_IN_SCRIPTS | AT_ONCE, run_exec},
    {"discard", 1, NOT_IN_SCRIPTS | AT_ONCE, run_discard},
    {"watch", -2, NOT_IN_SCRIPTS | AT_ONCE, run_watch},
    {"unwatch", 1, NOT_IN_SCRIPTS, run_unwatch},
    {0},
};

/* -- commands -- */

static void enqueue(struct ask *a)
{
    struct fakeredis_session *s = a->s;
    struct queued *q;

    say_status(a, "QUEUED");
    if (s->spoilt || s->dirty) /* nothing of it will be carried out */
        return;
    s->queued = alloc_grow(s->queued, s->queued_count + 1, sizeof(*s->queued));
    q = &s->queued[s->queued_count++];
    s->queued_flags |= a->command->flags;
    *q = (struct queued){a->argc, alloc_zeroed(a->argc, sizeof(*q->argv))};
    for (size_t i = 0; i < a->argc; i++)
        q->argv[i] = bytes_copy(a->argv[i]);
}

static void say_unknown(struct ask *a)
{
    char args[200] = "";
    size_t n = 0;

    for (size_t i = 1; i < a->argc && n < 128; i++)
        n += (size_t)snprintf(args + n, sizeof(args) - n, "'%.*s' ", (int)min_u64(a->argv[i].n, 32),
                              a->argv[i].p);
    say_error(a, "ERR unknown command '%.*s', with args beginning with: %s",
              (int)min_u64(a->argv[0].n, 128), a->argv[0].p, args);
}

void fakeredis_carry_out(struct ask *a)
{
    const char *words = fakeredis_refusal(a->f, a->command->flags);

    if (words)
        say_error(a, "%s", words);
    else
        a->command->run(a);
}

static void tell_all(struct fakeredis *f)
{
    list_each(node, &f->sessions) {
        struct fakeredis_session *s = list_entry(node, struct fakeredis_session, link);

        if (s->changed)
            s->changed(s->ctx);
    }
}

/* What comes between MULTI and EXEC is queued, and that takes memory. */
static unsigned flags_of(const struct ask *a)
{
    const struct fakeredis_session *s = a->s;

    if (a->command->run == run_exec)
        return s->queued_flags;
    return a->command->flags | (s->multi && a->command->run != run_discard ? NEEDS_MEMORY : 0);
}

/* True: the answer is why. */
static bool refuse(struct ask *a)
{
    const char *words;

    if (!a->command) {
        say_unknown(a);
        return true;
    }
    if (!fakeredis_arity_ok(a->command, a->argc)) {
        say_wrong_arguments(a);
        return true;
    }
    if (cluster_redirects(a))
        return true;
    words = fakeredis_refusal(a->f, flags_of(a));
    if (words && a->command->run == run_exec) {
        say_error(a, "EXECABORT Transaction discarded because of: %s", words);
        session_forget(a->s);
    } else if (words) {
        say_error(a, "%s", words);
    }
    return words != NULL;
}

static void run(struct ask *a)
{
    struct fakeredis_session *s = a->s;
    uint64_t before = s->f->changes;

    if (refuse(a)) {
        s->spoilt |= s->multi;
        return;
    }
    if (s->multi && !(a->command->flags & AT_ONCE)) {
        enqueue(a);
        return;
    }
    a->command->run(a);
    if (s->f->changes == before)
        return;
    s->written = s->f->changes;
    tell_all(s->f);
}

void fakeredis_run(struct fakeredis_session *s, size_t argc, const struct span *argv,
                   struct buf *out)
{
    struct ask a = {.f = s->f, .s = s, .argc = argc, .argv = argv, .out = out};

    a.command = fakeredis_command(argc, argv);
    s->f->serving = s;
    run(&a);
    s->f->serving = NULL;
    /* ASKING is for the next command, or for all of a transaction. */
    if (!s->multi && !(a.command && strcmp(a.command->name, "asking") == 0))
        s->asking = false;
}
