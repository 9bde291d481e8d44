/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

const char *kind_name(enum kind k)
{
    static const char *const names[] = {"string", "list", "hash", "zset", "stream"};

    return names[k];
}

uint64_t fakeredis_now_ms(const struct fakeredis *f)
{
    return f->now_us(f->clock_ctx) / 1000;
}

static void content_free(struct value *v)
{
    switch (v->kind) {
    case KIND_STRING:
        free(v->string.p);
        break;
    case KIND_LIST:
        texts_free(&v->list);
        break;
    case KIND_HASH:
        hash_free(&v->hash);
        break;
    case KIND_ZSET:
        zset_free(&v->zset);
        break;
    case KIND_STREAM:
        stream_free(&v->stream);
        break;
    }
}

void value_remove(struct fakeredis *f, struct value *v)
{
    must(map_take(&f->keys, bytes_span(v->name)) == v);
    sessions_touch(f, bytes_span(v->name));
    content_free(v);
    free(v->name.p);
    free(v);
    f->changes++;
}

struct value *value_find(struct fakeredis *f, struct span name)
{
    struct value *v = map_get(&f->keys, name);

    if (v && !cluster_sees(f, v))
        return NULL;
    if (!v || v->expires_ms == NEVER || v->expires_ms >= fakeredis_now_ms(f))
        return v;
    value_remove(f, v);
    return NULL;
}

bool value_of(struct ask *a, size_t i, enum kind kind, struct value **out)
{
    *out = value_find(a->f, a->argv[i]);
    if (!*out || (*out)->kind == kind)
        return true;
    say_error(a, "WRONGTYPE Operation against a key holding the wrong kind of value");
    return false;
}

struct value *value_make(struct fakeredis *f, struct span name, enum kind kind)
{
    struct value *v = alloc_zeroed(1, sizeof(*v));

    must(!map_get(&f->keys, name)); /* also at no other node of a Cluster: ASK has to precede */
    v->name = bytes_copy(name);
    v->kind = kind;
    v->expires_ms = NEVER;
    v->node = cluster_place(f, name);
    map_put(&f->keys, name, v);
    return v;
}

static bool is_empty(const struct value *v)
{
    return (v->kind == KIND_LIST && v->list.count == 0) ||
           (v->kind == KIND_HASH && v->hash.count == 0) ||
           (v->kind == KIND_ZSET && v->zset.count == 0);
}

void value_changed(struct fakeredis *f, struct value *v)
{
    f->changes++;
    sessions_touch(f, bytes_span(v->name));
    if (is_empty(v))
        value_remove(f, v);
}

/* -- commands about keys of any kind -- */

static void run_del(struct ask *a)
{
    int64_t n = 0;

    for (size_t i = 1; i < a->argc; i++) {
        struct value *v = value_find(a->f, a->argv[i]);

        if (v) {
            value_remove(a->f, v);
            n++;
        }
    }
    say_number(a, n);
}

static void run_exists(struct ask *a)
{
    int64_t n = 0;

    for (size_t i = 1; i < a->argc; i++)
        n += value_find(a->f, a->argv[i]) != NULL;
    say_number(a, n);
}

static void run_type(struct ask *a)
{
    const struct value *v = value_find(a->f, a->argv[1]);

    say_status(a, v ? kind_name(v->kind) : "none");
}

static void expire_after(struct ask *a, int64_t unit_ms)
{
    struct value *v;
    int64_t n;

    if (!arg_number(a, 2, &n))
        return;
    if (n > INT64_MAX / unit_ms / 2 || n < INT64_MIN / unit_ms / 2) {
        say_error(a, "ERR invalid expire time in '%s' command", a->command->name);
        return;
    }
    v = value_find(a->f, a->argv[1]);
    if (!v) {
        say_number(a, 0);
        return;
    }
    if (n <= 0) {
        value_remove(a->f, v);
    } else {
        v->expires_ms = fakeredis_now_ms(a->f) + (uint64_t)(n * unit_ms);
        value_changed(a->f, v);
    }
    say_number(a, 1);
}

static void run_expire(struct ask *a)
{
    expire_after(a, 1000);
}

static void run_pexpire(struct ask *a)
{
    expire_after(a, 1);
}

/* Milliseconds that are left; -1: without end, -2: there is none. */
static int64_t left_ms(struct ask *a)
{
    const struct value *v = value_find(a->f, a->argv[1]);

    if (!v)
        return -2;
    return v->expires_ms == NEVER ? -1 : (int64_t)(v->expires_ms - fakeredis_now_ms(a->f));
}

static void run_pttl(struct ask *a)
{
    say_number(a, left_ms(a));
}

static void run_ttl(struct ask *a)
{
    int64_t ms = left_ms(a);

    say_number(a, ms < 0 ? ms : (ms + 500) / 1000);
}

static void rename_to(struct ask *a, struct value *v)
{
    struct value *old = value_find(a->f, a->argv[2]);

    if (old == v)
        return;
    if (old)
        value_remove(a->f, old);
    must(map_take(&a->f->keys, a->argv[1]) == v);
    sessions_touch(a->f, a->argv[1]);
    free(v->name.p);
    v->name = bytes_copy(a->argv[2]);
    map_put(&a->f->keys, a->argv[2], v);
    value_changed(a->f, v);
}

static void run_rename(struct ask *a)
{
    struct value *v = value_find(a->f, a->argv[1]);

    if (!v) {
        say_error(a, NO_SUCH_KEY);
        return;
    }
    rename_to(a, v);
    say_status(a, "OK");
}

static void run_renamenx(struct ask *a)
{
    struct value *v = value_find(a->f, a->argv[1]);

    if (!v) {
        say_error(a, NO_SUCH_KEY);
    } else if (value_find(a->f, a->argv[2])) {
        say_number(a, 0);
    } else {
        rename_to(a, v);
        say_number(a, 1);
    }
}

/* The names that fit, as an array. Nothing is removed while the map is walked. */
static void say_names(struct ask *a, const char *pattern)
{
    uint64_t now = fakeredis_now_ms(a->f);
    size_t count = 0;

    for (int counting = 1; counting >= 0; counting--) {
        map_each(slot, &a->f->keys)
        {
            const struct value *v = slot->value;

            if (v->expires_ms < now || !cluster_sees(a->f, v) ||
                (pattern && fnmatch(pattern, slot->name, 0) != 0))
                continue;
            if (counting)
                count++;
            else
                say_text(a, bytes_span(v->name));
        }
        if (counting)
            say_array(a, count);
    }
}

static void run_keys(struct ask *a)
{
    char *pattern = alloc_copy(a->argv[1].p, a->argv[1].n);

    say_names(a, pattern);
    free(pattern);
}

/* Removes one that has expired; false: there is none. */
static bool expire_one(struct fakeredis *f)
{
    map_each(
        slot,
        &f->keys) if (!value_find(f, bytes_span(((struct value *)slot->value)->name))) return true;
    return false;
}

/* All in one page. */
static void run_scan(struct ask *a)
{
    char *pattern = NULL;

    while (expire_one(a->f))
        ;
    for (size_t i = 2; i + 1 < a->argc; i += 2)
        if (arg_is(a, i, "MATCH") && !pattern)
            pattern = alloc_copy(a->argv[i + 1].p, a->argv[i + 1].n);
    say_array(a, 2);
    say_text(a, SPAN("0"));
    say_names(a, pattern);
    free(pattern);
}

static void run_flushall(struct ask *a)
{
    map_each(slot, &a->f->keys)
    {
        struct value *v = slot->value;

        sessions_touch(a->f, bytes_span(v->name));
        content_free(v);
        free(v->name.p);
        free(v);
    }
    map_deinit(&a->f->keys);
    a->f->changes++;
    say_status(a, "OK");
}

const struct command fakeredis_keys[] = {
    {"del", -2, WRITES, run_del},
    {"exists", -2, 0, run_exists},
    {"type", 2, 0, run_type},
    {"expire", 3, WRITES, run_expire},
    {"pexpire", 3, WRITES, run_pexpire},
    {"ttl", 2, 0, run_ttl},
    {"pttl", 2, 0, run_pttl},
    {"rename", 3, WRITES, run_rename},
    {"renamenx", 3, WRITES, run_renamenx},
    {"keys", 2, 0, run_keys},
    {"scan", -2, 0, run_scan},
    {"flushall", -1, WRITES, run_flushall},
    {0},
};
