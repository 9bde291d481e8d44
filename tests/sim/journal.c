/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

struct written {
    struct journal_at when;
    size_t argc;
    struct span *argv; /* in one piece of memory with what it leads to */
};

struct twin { /* of a session */
    uint64_t session;
    struct fakeredis_session *s;
};

static struct {
    struct written *all;
    size_t count, room;
} jl;

static void forget_from(size_t first)
{
    while (jl.count > first)
        free(jl.all[--jl.count].argv);
}

void journal_begin(void)
{
    memset(&jl, 0, sizeof(jl));
}

void journal_end(void)
{
    forget_from(0);
    free(jl.all);
    memset(&jl, 0, sizeof(jl));
}

void journal_note(const struct journal_at *when, size_t argc, const struct span *argv)
{
    struct written *w;
    size_t bytes = argc * sizeof(*argv);
    char *at;

    if (jl.count == jl.room) {
        jl.room = jl.room ? jl.room * 2 : 256;
        jl.all = alloc_grow(jl.all, jl.room, sizeof(*jl.all));
    }
    for (size_t i = 0; i < argc; i++)
        bytes += argv[i].n;
    w = &jl.all[jl.count++];
    *w = (struct written){.when = *when, .argc = argc, .argv = alloc_bytes(bytes)};
    at = (char *)(w->argv + argc);
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n)
            memcpy(at, argv[i].p, argv[i].n);
        w->argv[i] = span_of(at, argv[i].n);
        at += argv[i].n;
    }
}

void journal_replace_last(struct span command)
{
    struct journal_at when = jl.all[jl.count - 1].when;

    forget_from(jl.count - 1);
    journal_note(&when, 1, &command);
}

uint64_t journal_count(void)
{
    return jl.count;
}

uint64_t journal_count_by(uint64_t now_ns)
{
    uint64_t count = jl.count;

    while (count && jl.all[count - 1].when.now_ns > now_ns)
        count--;
    return count;
}

/* What a fakeredis begins with is the one after none. */
void journal_history(uint64_t failures, char out[JOURNAL_HISTORY_ROOM])
{
    snprintf(out, JOURNAL_HISTORY_ROOM, "%040" PRIx64, 1 + failures);
}

static struct fakeredis_session *twin_of(struct fakeredis *f, struct twin **twins, size_t *count,
                                         uint64_t session)
{
    for (size_t i = *count; i > 0; i--)
        if ((*twins)[i - 1].session == session)
            return (*twins)[i - 1].s;
    *twins = alloc_grow(*twins, *count + 1, sizeof(**twins));
    (*twins)[*count] = (struct twin){session, fakeredis_open(f, NULL, NULL, NULL)};
    return (*twins)[(*count)++].s;
}

void journal_replay(struct fakeredis *into, uint64_t count, uint64_t *redis_us)
{
    struct twin *twins = NULL;
    size_t twins_count = 0;
    char history[JOURNAL_HISTORY_ROOM];
    struct buf out;

    must(count <= jl.count);
    forget_from(count);
    buf_init(&out, (size_t)1 << 40);
    for (size_t i = 0; i < jl.count; i++) {
        const struct written *w = &jl.all[i];

        *redis_us = w->when.redis_us;
        fakeredis_set_full(into, w->when.full);
        fakeredis_set_refusing(into, w->when.refusing);
        journal_history(w->when.failures, history);
        fakeredis_set_history(into, history);
        fakeredis_run(twin_of(into, &twins, &twins_count, w->when.session), w->argc, w->argv, &out);
        buf_clear(&out);
    }
    buf_deinit(&out);
    while (twins_count)
        fakeredis_close(twins[--twins_count].s);
    free(twins);
}
