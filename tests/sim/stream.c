/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <stdlib.h>

#include "alloc.h"

struct fields *fields_copy(const struct span *spans, size_t count)
{
    size_t bytes = 0;
    struct fields *f;
    char *to;

    for (size_t i = 0; i < count; i++)
        bytes += spans[i].n + 1;
    f = alloc_bytes(sizeof(*f) + count * sizeof(f->at[0]) + bytes);
    f->count = count;
    to = (char *)&f->at[count];
    for (size_t i = 0; i < count; i++) {
        f->at[i] = span_of(to, spans[i].n);
        if (spans[i].n)
            memcpy(to, spans[i].p, spans[i].n);
        to[spans[i].n] = '\0';
        to += spans[i].n + 1;
    }
    return f;
}

struct span fields_get(const struct fields *f, const char *name)
{
    for (size_t i = 0; i + 1 < f->count; i += 2)
        if (span_is(f->at[i], name))
            return f->at[i + 1];
    return span_of(NULL, 0);
}

int entry_id_compare(struct entry_id a, struct entry_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

void stream_init(struct stream *s)
{
    *s = (struct stream){0};
}

void stream_deinit(struct stream *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->at[s->first + i].fields);
    free(s->at);
    stream_init(s);
}

static bool is_gone(const struct stream_entry *e)
{
    return !e->fields;
}

/* Makes the gone ones' room free again when they are many. */
static void tidy(struct stream *s)
{
    size_t kept = 0;

    while (s->count && is_gone(&s->at[s->first])) {
        s->first++;
        s->count--;
        s->gone--;
    }
    if (s->first < s->room / 2 && s->gone < s->room / 2)
        return;
    for (size_t i = 0; i < s->count; i++)
        if (!is_gone(&s->at[s->first + i]))
            s->at[kept++] = s->at[s->first + i];
    s->first = s->gone = 0;
    s->count = kept;
}

static struct entry_id next_id(const struct stream *s, uint64_t now_ms)
{
    if (now_ms > s->last.ms)
        return (struct entry_id){now_ms, 0};
    return (struct entry_id){s->last.ms, s->last.seq + 1};
}

struct entry_id stream_add(struct stream *s, struct fields *f, uint64_t now_ms)
{
    struct entry_id id = next_id(s, now_ms);

    if (s->first + s->count == s->room) {
        tidy(s);
        if (s->first + s->count == s->room) {
            s->room = s->room ? s->room * 2 : 64;
            s->at = alloc_grow(s->at, s->room, sizeof(*s->at));
        }
    }
    s->at[s->first + s->count++] = (struct stream_entry){id, f};
    s->last = id;
    s->length++;
    return id;
}

void stream_backlog(struct stream *s, uint64_t count, stream_make_cb *make, void *ctx)
{
    s->unmade += count;
    s->length += count;
    s->make = make;
    s->make_ctx = ctx;
}

/* The place of the first entry that is not before id. */
static size_t lower_bound(const struct stream *s, struct entry_id id)
{
    size_t low = s->first, high = s->first + s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entry_id_compare(s->at[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct stream_entry *stream_find(struct stream *s, struct entry_id id)
{
    size_t i = lower_bound(s, id);

    if (i == s->first + s->count || entry_id_compare(s->at[i].id, id) != 0 || is_gone(&s->at[i]))
        return NULL;
    return &s->at[i];
}

bool stream_delete(struct stream *s, struct entry_id id)
{
    struct stream_entry *e = stream_find(s, id);

    if (!e)
        return false;
    free(e->fields);
    e->fields = NULL;
    s->length--;
    s->gone++;
    tidy(s);
    return true;
}

bool stream_has_after(const struct stream *s, struct entry_id id)
{
    for (size_t i = s->first + s->count; i > s->first; i--) {
        const struct stream_entry *e = &s->at[i - 1];

        if (entry_id_compare(e->id, id) <= 0)
            break;
        if (e->fields)
            return true;
    }
    return s->unmade > 0;
}

static void make_some(struct stream *s, size_t most, uint64_t now_ms)
{
    for (size_t i = 0; i < most && s->unmade; i++) {
        s->unmade--;
        s->length--;
        stream_add(s, s->make(s->make_ctx), now_ms);
    }
}

static struct entry_id after(struct entry_id id)
{
    return (struct entry_id){id.ms, id.seq + 1};
}

size_t stream_read(struct stream *s, struct entry_id from, size_t most, uint64_t now_ms,
                   struct stream_entry **out)
{
    size_t n = 0;

    make_some(s, most, now_ms);
    for (size_t i = lower_bound(s, after(from)); i < s->first + s->count && n < most; i++)
        if (!is_gone(&s->at[i]))
            out[n++] = &s->at[i];
    return n;
}
