/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

static void field_free(struct bytes *b)
{
    if (b)
        free(b->p);
    free(b);
}

void hash_free(struct map *h)
{
    map_each(slot, h) field_free(slot->value);
    map_deinit(h);
}

static void run_hset(struct ask *a)
{
    struct value *v;
    int64_t added = 0;

    if (a->argc % 2 != 0) {
        say_wrong_arguments(a);
        return;
    }
    if (!value_of(a, 1, KIND_HASH, &v))
        return;
    if (!v)
        v = value_make(a->f, a->argv[1], KIND_HASH);
    for (size_t i = 2; i < a->argc; i += 2) {
        struct bytes *old = map_get(&v->hash, a->argv[i]), *field = old;

        if (!field) {
            field = alloc_zeroed(1, sizeof(*field));
            map_put(&v->hash, a->argv[i], field);
            added++;
        }
        free(field->p);
        *field = bytes_copy(a->argv[i + 1]);
    }
    value_changed(a->f, v);
    say_number(a, added);
}

static void say_field(struct ask *a, const struct value *v, struct span name)
{
    const struct bytes *field = v ? map_get(&v->hash, name) : NULL;

    if (field)
        say_text(a, bytes_span(*field));
    else
        say_nil(a);
}

static void run_hget(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_HASH, &v))
        say_field(a, v, a->argv[2]);
}

static void run_hmget(struct ask *a)
{
    struct value *v;

    if (!value_of(a, 1, KIND_HASH, &v))
        return;
    say_array(a, a->argc - 2);
    for (size_t i = 2; i < a->argc; i++)
        say_field(a, v, a->argv[i]);
}

static void run_hgetall(struct ask *a)
{
    struct value *v;

    if (!value_of(a, 1, KIND_HASH, &v))
        return;
    say_array(a, v ? v->hash.count * 2 : 0);
    if (!v)
        return;
    map_each(slot, &v->hash)
    {
        say_text(a, span_of(slot->name, slot->n));
        say_text(a, bytes_span(*(struct bytes *)slot->value));
    }
}

static void run_hdel(struct ask *a)
{
    struct value *v;
    int64_t n = 0;

    if (!value_of(a, 1, KIND_HASH, &v))
        return;
    for (size_t i = 2; v && i < a->argc; i++) {
        struct bytes *field = map_take(&v->hash, a->argv[i]);

        n += field != NULL;
        field_free(field);
    }
    if (n)
        value_changed(a->f, v);
    say_number(a, n);
}

static void run_hlen(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_HASH, &v))
        say_number(a, v ? (int64_t)v->hash.count : 0);
}

static void run_hstrlen(struct ask *a)
{
    const struct bytes *field;
    struct value *v;

    if (!value_of(a, 1, KIND_HASH, &v))
        return;
    field = v ? map_get(&v->hash, a->argv[2]) : NULL;
    say_number(a, field ? (int64_t)field->n : 0);
}

static void run_hexists(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_HASH, &v))
        say_number(a, v && map_get(&v->hash, a->argv[2]));
}

const struct command fakeredis_hashes[] = {
    {"hset", -4, WRITES | NEEDS_MEMORY, run_hset},
    {"hget", 3, 0, run_hget},
    {"hmget", -3, 0, run_hmget},
    {"hgetall", 2, 0, run_hgetall},
    {"hdel", -3, WRITES, run_hdel},
    {"hlen", 2, 0, run_hlen},
    {"hstrlen", 3, 0, run_hstrlen},
    {"hexists", 3, 0, run_hexists},
    {0},
};
