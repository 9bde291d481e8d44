/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

void texts_push(struct texts *t, struct span s)
{
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 8;
        t->items = alloc_grow(t->items, t->room, sizeof(*t->items));
    }
    t->items[t->count++] = bytes_copy(s);
}

void texts_free(struct texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->items[i].p);
    free(t->items);
    *t = (struct texts){0};
}

/* Keeps `count` of them from `from` on. */
static void cut(struct texts *t, size_t from, size_t count)
{
    for (size_t i = 0; i < t->count; i++)
        if (i < from || i >= from + count)
            free(t->items[i].p);
    memmove(t->items, t->items + from, count * sizeof(*t->items));
    t->count = count;
}

static void run_rpush(struct ask *a)
{
    struct value *v;

    if (!value_of(a, 1, KIND_LIST, &v))
        return;
    if (!v)
        v = value_make(a->f, a->argv[1], KIND_LIST);
    for (size_t i = 2; i < a->argc; i++)
        texts_push(&v->list, a->argv[i]);
    value_changed(a->f, v);
    say_number(a, (int64_t)v->list.count);
}

static void run_llen(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_LIST, &v))
        say_number(a, v ? (int64_t)v->list.count : 0);
}

static void run_lrange(struct ask *a)
{
    struct value *v;
    int64_t from, to;

    if (!arg_number(a, 2, &from) || !arg_number(a, 3, &to) || !value_of(a, 1, KIND_LIST, &v))
        return;
    if (!v || !clip_range(&from, &to, v->list.count)) {
        say_array(a, 0);
        return;
    }
    say_array(a, (size_t)(to - from + 1));
    for (int64_t i = from; i <= to; i++)
        say_text(a, bytes_span(v->list.items[i]));
}

static void run_ltrim(struct ask *a)
{
    struct value *v;
    int64_t from, to;

    if (!arg_number(a, 2, &from) || !arg_number(a, 3, &to) || !value_of(a, 1, KIND_LIST, &v))
        return;
    if (v) {
        if (clip_range(&from, &to, v->list.count))
            cut(&v->list, (size_t)from, (size_t)(to - from + 1));
        else
            cut(&v->list, 0, 0);
        value_changed(a->f, v);
    }
    say_status(a, "OK");
}

static void run_lpop(struct ask *a)
{
    int64_t count = 1;
    struct value *v;

    if (a->argc > 3) {
        say_wrong_arguments(a);
        return;
    }
    if (a->argc == 3 && (!span_to_i64(a->argv[2], &count) || count < 0)) {
        say_error(a, "ERR value is out of range, must be positive");
        return;
    }
    if (!value_of(a, 1, KIND_LIST, &v))
        return;
    if (!v) {
        if (a->argc == 3)
            say_no_array(a);
        else
            say_nil(a);
        return;
    }
    if (count == 0) {
        say_array(a, 0);
        return;
    }
    count = (int64_t)min_u64((uint64_t)count, v->list.count);
    if (a->argc == 3)
        say_array(a, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        say_text(a, bytes_span(v->list.items[i]));
    cut(&v->list, (size_t)count, v->list.count - (size_t)count);
    value_changed(a->f, v);
}

const struct command fakeredis_lists[] = {
    {"rpush", -3, WRITES | NEEDS_MEMORY, run_rpush},
    {"llen", 2, 0, run_llen},
    {"lrange", 4, 0, run_lrange},
    {"ltrim", 4, WRITES, run_ltrim},
    {"lpop", -2, WRITES, run_lpop},
    {0},
};
