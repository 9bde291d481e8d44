/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

struct group *stream_group(const struct fstream *s, struct span name)
{
    for (size_t i = 0; i < s->groups_count; i++)
        if (span_eq(bytes_span(s->groups[i].name), name))
            return &s->groups[i];
    return NULL;
}

static void add_group(struct fstream *s, struct span name, struct stream_id delivered)
{
    struct group *g;

    s->groups = alloc_grow(s->groups, s->groups_count + 1, sizeof(*s->groups));
    g = &s->groups[s->groups_count++];
    *g = (struct group){.name = bytes_copy(name), .delivered = delivered};
    map_init(&g->consumers);
}

/* False: the answer is an error already. */
static bool stream_of(struct ask *a, struct value **v)
{
    if (!value_of(a, 2, KIND_STREAM, v))
        return false;
    if (!*v)
        say_error(a, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                     "you may want to use the MKSTREAM option to create an empty stream "
                     "automatically.");
    return *v != NULL;
}

/* An id, or "$" for the end. False: the answer is an error already. */
static bool group_id(struct ask *a, const struct value *v, struct stream_id *out)
{
    if (span_is(a->argv[4], "$")) {
        *out = v->stream.last;
        return true;
    }
    if (stream_id_parse(a->argv[4], 0, out))
        return true;
    say_error(a, INVALID_STREAM_ID);
    return false;
}

static void run_create(struct ask *a)
{
    struct stream_id id;
    struct value *v;

    if (!stream_of(a, &v) || !group_id(a, v, &id))
        return;
    if (stream_group(&v->stream, a->argv[3])) {
        say_error(a, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    add_group(&v->stream, a->argv[3], id);
    a->f->changes++; /* for WATCH it has not changed */
    say_status(a, "OK");
}

static void run_setid(struct ask *a)
{
    struct stream_id id;
    struct group *g;
    struct value *v;

    if (!stream_of(a, &v))
        return;
    g = stream_group(&v->stream, a->argv[3]);
    if (!g) {
        say_error(a, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)a->argv[3].n,
                  a->argv[3].p, (int)a->argv[2].n, a->argv[2].p);
        return;
    }
    if (!group_id(a, v, &id))
        return;
    g->delivered = id;
    a->f->changes++;
    say_status(a, "OK");
}

/* -- claims -- */

static size_t pending_position(const struct group *g, struct stream_id id)
{
    size_t i = 0;

    while (i < g->pending_count && stream_id_compare(g->pending[i], id) < 0)
        i++;
    return i;
}

static bool is_pending(const struct group *g, struct stream_id id)
{
    size_t i = pending_position(g, id);

    return i < g->pending_count && stream_id_compare(g->pending[i], id) == 0;
}

static void make_pending(struct group *g, struct stream_id id)
{
    size_t i = pending_position(g, id);

    g->pending = alloc_grow(g->pending, g->pending_count + 1, sizeof(*g->pending));
    memmove(g->pending + i + 1, g->pending + i, (g->pending_count++ - i) * sizeof(*g->pending));
    g->pending[i] = id;
}

static bool no_longer_pending(struct group *g, struct stream_id id)
{
    size_t i = pending_position(g, id);

    if (!is_pending(g, id))
        return false;
    memmove(g->pending + i, g->pending + i + 1, (--g->pending_count - i) * sizeof(*g->pending));
    return true;
}

/* Whether the consumer gets it. */
static bool claim(const struct fstream *s, struct group *g, struct stream_id id, bool force)
{
    if (!stream_has(s, id)) {
        (void)no_longer_pending(g, id);
        return false;
    }
    if (!is_pending(g, id)) {
        if (!force)
            return false;
        make_pending(g, id);
    }
    return true;
}

/* XCLAIM key group consumer 0 id [FORCE] JUSTID */
static void run_xclaim(struct ask *a)
{
    bool force = arg_is(a, 6, "FORCE");
    struct stream_id id;
    struct group *g = NULL;
    struct value *v;
    bool got;

    if (!value_of(a, 1, KIND_STREAM, &v))
        return;
    if (v)
        g = stream_group(&v->stream, a->argv[2]);
    if (!g) {
        say_error(a, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)a->argv[1].n,
                  a->argv[1].p, (int)a->argv[2].n, a->argv[2].p);
        return;
    }
    if (!stream_id_parse(a->argv[5], 0, &id)) {
        say_error(a, "ERR Unrecognized XCLAIM option '%.*s'", (int)a->argv[5].n, a->argv[5].p);
        return;
    }
    if (a->argc != 7 + (size_t)force || !arg_is(a, a->argc - 1, "JUSTID")) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    got = claim(&v->stream, g, id, force);
    if (got && !map_get(&g->consumers, a->argv[3]))
        map_put(&g->consumers, a->argv[3], g);
    if (got)
        a->f->changes++;
    say_array(a, got);
    if (got)
        say_stream_id(a, id);
}

static void run_xack(struct ask *a)
{
    struct group *g = NULL;
    struct stream_id id;
    struct value *v;
    int64_t n = 0;

    if (!value_of(a, 1, KIND_STREAM, &v))
        return;
    if (v)
        g = stream_group(&v->stream, a->argv[2]);
    for (size_t i = 3; g && i < a->argc; i++) {
        if (!stream_id_parse(a->argv[i], 0, &id)) {
            say_error(a, INVALID_STREAM_ID);
            return;
        }
        n += no_longer_pending(g, id);
    }
    if (n)
        a->f->changes++;
    say_number(a, n);
}

/* -- XINFO: of its fields those that scripts look at -- */

static void info_groups(struct ask *a, const struct fstream *s)
{
    say_array(a, s->groups_count);
    for (size_t i = 0; i < s->groups_count; i++) {
        const struct group *g = &s->groups[i];

        say_array(a, 8);
        say_text(a, SPAN("name"));
        say_text(a, bytes_span(g->name));
        say_text(a, SPAN("consumers"));
        say_number(a, (int64_t)g->consumers.count);
        say_text(a, SPAN("pending"));
        say_number(a, (int64_t)g->pending_count);
        say_text(a, SPAN("last-delivered-id"));
        say_stream_id(a, g->delivered);
    }
}

static void info_stream(struct ask *a, const struct fstream *s)
{
    say_array(a, 8);
    say_text(a, SPAN("length"));
    say_number(a, (int64_t)stream_length(s));
    say_text(a, SPAN("last-generated-id"));
    say_stream_id(a, s->last);
    say_text(a, SPAN("max-deleted-entry-id"));
    say_stream_id(a, s->deleted);
    say_text(a, SPAN("groups"));
    say_number(a, (int64_t)s->groups_count);
}

static void run_xinfo(struct ask *a)
{
    struct value *v;

    if (a->argc != 3 || (!arg_is(a, 1, "GROUPS") && !arg_is(a, 1, "STREAM"))) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    if (!value_of(a, 2, KIND_STREAM, &v))
        return;
    if (!v)
        say_error(a, NO_SUCH_KEY);
    else if (arg_is(a, 1, "GROUPS"))
        info_groups(a, &v->stream);
    else
        info_stream(a, &v->stream);
}

const struct command fakeredis_groups[] = {
    {"xgroup|create", 5, WRITES | NEEDS_MEMORY, run_create},
    {"xgroup|setid", 5, WRITES, run_setid},
    {"xclaim", -6, WRITES, run_xclaim},
    {"xack", -4, WRITES, run_xack},
    {"xinfo", -2, 0, run_xinfo},
    {0},
};
