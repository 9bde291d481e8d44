/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

static void run_get(struct ask *a)
{
    struct value *v;

    if (!value_of(a, 1, KIND_STRING, &v))
        return;
    if (v)
        say_text(a, bytes_span(v->string));
    else
        say_nil(a);
}

static void run_mget(struct ask *a)
{
    say_array(a, a->argc - 1);
    for (size_t i = 1; i < a->argc; i++) {
        const struct value *v = value_find(a->f, a->argv[i]);

        if (v && v->kind == KIND_STRING)
            say_text(a, bytes_span(v->string));
        else
            say_nil(a);
    }
}

static void put(struct ask *a, struct span text, uint64_t expires_ms)
{
    struct value *v = value_find(a->f, a->argv[1]);

    if (v)
        value_remove(a->f, v);
    v = value_make(a->f, a->argv[1], KIND_STRING);
    v->string = bytes_copy(text);
    v->expires_ms = expires_ms;
    if (a->f->watch.written)
        a->f->watch.written(a->f->watch_ctx, bytes_span(v->name), bytes_span(v->string));
    value_changed(a->f, v);
}

struct set_options {
    bool only_new, only_old;
    int64_t unit_ms; /* 0: without end */
    int64_t ttl;
};

/* False: the answer is an error already. */
static bool set_options(struct ask *a, struct set_options *o)
{
    *o = (struct set_options){0};
    for (size_t i = 3; i < a->argc; i++) {
        bool ex = arg_is(a, i, "EX"), px = arg_is(a, i, "PX");

        if (arg_is(a, i, "NX") && !o->only_old) {
            o->only_new = true;
        } else if (arg_is(a, i, "XX") && !o->only_new) {
            o->only_old = true;
        } else if ((ex || px) && !o->unit_ms && i + 1 < a->argc) {
            o->unit_ms = ex ? 1000 : 1;
            if (!arg_number(a, ++i, &o->ttl))
                return false;
        } else {
            say_error(a, SYNTAX_ERROR);
            return false;
        }
    }
    if (o->unit_ms && (o->ttl <= 0 || o->ttl > INT64_MAX / 2000)) {
        say_error(a, "ERR invalid expire time in '%s' command", a->command->name);
        return false;
    }
    return true;
}

static void run_set(struct ask *a)
{
    struct set_options o;
    bool there;

    if (!set_options(a, &o))
        return;
    there = value_find(a->f, a->argv[1]) != NULL;
    if ((there && o.only_new) || (!there && o.only_old)) {
        say_nil(a);
        return;
    }
    put(a, a->argv[2], o.unit_ms ? fakeredis_now_ms(a->f) + (uint64_t)(o.ttl * o.unit_ms) : NEVER);
    say_status(a, "OK");
}

static void run_setex(struct ask *a)
{
    int64_t ttl;

    if (!arg_number(a, 2, &ttl))
        return;
    if (ttl <= 0 || ttl > INT64_MAX / 2000) {
        say_error(a, "ERR invalid expire time in 'setex' command");
        return;
    }
    put(a, a->argv[3], fakeredis_now_ms(a->f) + (uint64_t)ttl * 1000);
    say_status(a, "OK");
}

static void overwrite(struct value *v, size_t from, struct span text)
{
    if (from + text.n > v->string.n) {
        v->string.p = alloc_grow(v->string.p, from + text.n + 1, 1);
        memset(v->string.p + v->string.n, 0, from + text.n + 1 - v->string.n);
        v->string.n = from + text.n;
    }
    memcpy(v->string.p + from, text.p, text.n);
}

static void run_setrange(struct ask *a)
{
    struct value *v;
    int64_t from;

    if (!arg_number(a, 2, &from))
        return;
    if (from < 0) {
        say_error(a, "ERR offset is out of range");
        return;
    }
    if (!value_of(a, 1, KIND_STRING, &v))
        return;
    if (a->argv[3].n == 0) {
        say_number(a, v ? (int64_t)v->string.n : 0);
        return;
    }
    if (!v)
        v = value_make(a->f, a->argv[1], KIND_STRING);
    overwrite(v, (size_t)from, a->argv[3]);
    value_changed(a->f, v);
    say_number(a, (int64_t)v->string.n);
}

static void run_strlen(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_STRING, &v))
        say_number(a, v ? (int64_t)v->string.n : 0);
}

const struct command fakeredis_strings[] = {
    {"get", 2, 0, run_get},
    {"mget", -2, 0, run_mget},
    {"set", -3, WRITES | NEEDS_MEMORY, run_set},
    {"setex", 4, WRITES | NEEDS_MEMORY, run_setex},
    {"setrange", 4, WRITES | NEEDS_MEMORY, run_setrange},
    {"strlen", 2, 0, run_strlen},
    {0},
};
