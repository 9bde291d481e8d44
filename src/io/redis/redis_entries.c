/* SPDX-License-Identifier: MIT */
#include "redis_entries.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "redis_codec.h"

/* A reply is nil, an error, or an array of streams:
 *
 *   *1  *2  $22 purgeline:{main}:jobs:bulk  *n  *2  $15 1700000000000-0  *4  $4 keys  $1 a  $7
 * service ... TOP PAIR KEY                            LIST ENTRY ID                FIELDS  FIELD
 * ...
 */
enum expected { TOP, PAIR, KEY, LIST, ENTRY, ID, FIELDS, FIELD, OVER };

#define LINE_MAX_BYTES 1024 /* of an error; other lines are a sign and a number */
#define READ_AT_LEAST                                                                              \
    ((size_t)16 * 1024) /* TLS delivers records of up to this size, at once or late                \
                         */
#define SMALL_NAME_MAX_BYTES 64
#define SMALL_VALUE_MAX_BYTES 256
#define SMALL_MAX 16 /* fields kept of an oversized entry */
#define SPANS_KEPT 1024

enum keeping {
    WHOLE,   /* the entry's bytes stay in the buffer until it is complete */
    SMALL,   /* it is oversized: small fields are copied, the rest is dropped */
    NOTHING, /* the rest of this stream is skipped */
};

struct redis_entries {
    const struct redis_entries_sink *sink;
    void *ctx;
    char *p;
    size_t room, n;
    size_t base; /* bytes before this are no longer needed */
    size_t at;   /* next byte to parse */
    enum expected expected;
    enum keeping keeping;
    uint64_t max_bytes;
    uint64_t streams, entries, fields; /* still to come, including the current one */
    bool in_string;                    /* its length is known, but it is incomplete */
    uint64_t string_bytes, skip;       /* length of that string; bytes to drop */
    uint64_t entry_bytes;
    uint64_t allowed_bytes; /* how much of this entry may be held in memory */
    struct span id;
    struct span *spans;
    size_t spans_count, spans_room;
    char id_text[48]; /* for an oversized entry, like `small` */
    char small[SMALL_MAX][SMALL_NAME_MAX_BYTES + SMALL_VALUE_MAX_BYTES];
    bool is_name;    /* the next string of the entry is a field name */
    bool small_name; /* the field's name is small */
    char error[LINE_MAX_BYTES + 1];
};

struct redis_entries *redis_entries_new(const struct redis_entries_sink *sink, void *ctx)
{
    struct redis_entries *e = alloc_zeroed(1, sizeof(*e));

    e->sink = sink;
    e->ctx = ctx;
    e->expected = OVER;
    return e;
}

void redis_entries_free(struct redis_entries *e)
{
    if (!e)
        return;
    free(e->p);
    free(e->spans);
    free(e);
}

void redis_entries_begin(struct redis_entries *e, uint64_t max_bytes)
{
    e->n = e->base = e->at = 0;
    e->expected = TOP;
    e->keeping = WHOLE;
    e->max_bytes = max_bytes;
    e->in_string = false;
    e->skip = e->spans_count = 0;
    e->error[0] = '\0';
}

void redis_entries_end(struct redis_entries *e)
{
    bool small = e->room > REDIS_IDLE_BYTES && e->n < REDIS_IDLE_BYTES / 2;

    e->expected = OVER;
    e->n = e->base = e->at = 0;
    if (small || e->room > 2 * ENTRIES_READ_BYTES) {
        free(e->p);
        e->p = NULL;
        e->room = 0;
    }
    if (e->spans_room > SPANS_KEPT) {
        free(e->spans);
        e->spans = NULL;
        e->spans_room = 0;
    }
}

size_t redis_entries_bytes(const struct redis_entries *e)
{
    return e->room + e->spans_room * sizeof(*e->spans);
}

const char *redis_entries_error(const struct redis_entries *e)
{
    return e->error[0] ? e->error : NULL;
}

/* -- the buffer ------------------------------------------------------------------------------ */

/* Adjusts pointers to the entry's strings after the buffer has moved. */
static void follow(struct redis_entries *e, uintptr_t before)
{
    uintptr_t by = (uintptr_t)e->p - before;

    if (e->keeping != WHOLE)
        return;
    if (e->id.p)
        e->id.p = (const char *)((uintptr_t)e->id.p + by);
    for (size_t i = 0; i < e->spans_count; i++)
        e->spans[i].p = (const char *)((uintptr_t)e->spans[i].p + by);
}

static void drop_done(struct redis_entries *e)
{
    if (e->base == 0)
        return;
    memmove(e->p, e->p + e->base, e->n - e->base);
    follow(e, (uintptr_t)e->p + e->base);
    e->n -= e->base;
    e->at -= e->base;
    e->base = 0;
}

char *redis_entries_room(struct redis_entries *e, size_t *room)
{
    size_t least = READ_AT_LEAST, want;
    uintptr_t before;

    drop_done(e);
    if (e->in_string && e->skip == 0 &&
        e->string_bytes + 2 > e->n - e->at) /* at least what was announced */
        least += (size_t)e->string_bytes + 2 - (e->n - e->at);
    if (e->room - e->n < least) {
        want = e->room ? ENTRIES_READ_BYTES : REDIS_IDLE_BYTES;
        want = max_u64(want, e->n + least);
        before = (uintptr_t)e->p;
        e->p = alloc_grow(e->p, want, 1);
        e->room = want;
        follow(e, before);
    }
    *room = e->room - e->n;
    return e->p + e->n;
}

/* -- lines and strings ----------------------------------------------------------------------- */

/* A fast path: nearly all numbers have one or two digits, and each entry has a dozen of them. */
static bool short_number(struct redis_entries *e, char sign, int64_t *out)
{
    const char *p = e->p + e->at;
    unsigned a, b;

    if (e->n - e->at < 5 || p[0] != sign)
        return false;
    a = (unsigned)(p[1] - '0');
    b = (unsigned)(p[2] - '0');
    if (a < 10 && p[2] == '\r' && p[3] == '\n') {
        *out = (int64_t)a;
        e->at += 4;
        return true;
    }
    if (a < 10 && b < 10 && p[3] == '\r' && p[4] == '\n') {
        *out = (int64_t)(a * 10 + b);
        e->at += 5;
        return true;
    }
    return false;
}

/* Parses a number after a sign. 1: complete; 0: incomplete. */
static int number(struct redis_entries *e, char sign, int64_t *out)
{
    const char *p = e->p + e->at, *end = e->p + e->n, *digit = p + 1;
    int64_t value = 0;
    bool minus;

    if (short_number(e, sign, out))
        return 1;
    if (p == end)
        return 0;
    if (*p != sign)
        return -EPROTO;
    minus = digit < end && *digit == '-';
    digit += minus;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (*digit - '0');
        if (value > INT64_C(1) << 40)
            return -EPROTO;
    }
    if (digit - p > 24)
        return -EPROTO;
    if (end - digit < 2 && (end == digit || digit[0] == '\r'))
        return 0;
    if (digit[0] != '\r' || digit[1] != '\n' || digit == p + 1 + minus || (minus && value != 1))
        return -EPROTO;
    *out = minus ? -1 : value;
    e->at += (size_t)(digit + 2 - p);
    return 1;
}

/* Gets the announced string. 1: complete, in *out; 0: incomplete. */
static int string(struct redis_entries *e, struct span *out)
{
    if (e->n - e->at < e->string_bytes + 2)
        return 0;
    *out = span_of(e->p + e->at, (size_t)e->string_bytes);
    e->at += (size_t)e->string_bytes + 2;
    e->in_string = false;
    return out->p[out->n] == '\r' && out->p[out->n + 1] == '\n' ? 1 : -EPROTO;
}

static int length(struct redis_entries *e)
{
    int64_t n;
    int rc = number(e, '$', &n);

    if (rc <= 0)
        return rc;
    if (n < 0)
        return -EPROTO;
    e->in_string = true;
    e->string_bytes = (uint64_t)n;
    return 1;
}

/* Drops skipped bytes that have arrived. */
static int drop(struct redis_entries *e)
{
    uint64_t here = min_u64(e->skip, e->n - e->at);

    e->at += (size_t)here;
    e->skip -= here;
    e->base = e->at;
    if (e->skip)
        return 0;
    e->in_string = false;
    return 1;
}

/* -- an entry -------------------------------------------------------------------------------- */

static void add_span(struct redis_entries *e, struct span s)
{
    if (e->spans_count == e->spans_room) {
        e->spans_room = e->spans_room ? e->spans_room * 2 : 64;
        e->spans = alloc_grow(e->spans, e->spans_room, sizeof(*e->spans));
    }
    e->spans[e->spans_count++] = s;
}

/* Only its targets can make an entry large; all other fields are small. */
static bool names_targets(struct span name)
{
    return span_is(name, "keys") || span_is(name, "url");
}

static void keep_small(struct redis_entries *e, struct span name, struct span value)
{
    char *at = e->small[e->spans_count / 2];

    if (e->spans_count == (size_t)2 * SMALL_MAX || name.n > SMALL_NAME_MAX_BYTES ||
        value.n > SMALL_VALUE_MAX_BYTES || names_targets(name))
        return;
    if (name.n)
        memcpy(at, name.p, name.n);
    if (value.n)
        memcpy(at + SMALL_NAME_MAX_BYTES, value.p, value.n);
    add_span(e, span_of(at, name.n));
    add_span(e, span_of(at + SMALL_NAME_MAX_BYTES, value.n));
}

/* The entry has become too large: drops it from the buffer, after copying its small fields. A name
 * whose value has not arrived yet is copied, too. */
static void shed(struct redis_entries *e)
{
    size_t count = e->spans_count;
    struct span name = span_of(NULL, 0);

    e->id.n = e->id.n < sizeof(e->id_text) ? e->id.n : 0;
    memcpy(e->id_text, e->id.p, e->id.n);
    e->id.p = e->id_text;
    e->spans_count = 0;
    for (size_t i = 0; i + 1 < count; i += 2)
        keep_small(e, e->spans[i], e->spans[i + 1]);
    e->small_name = false;
    if (count % 2) {
        name = e->spans[count - 1];
        e->small_name = name.n <= SMALL_NAME_MAX_BYTES && e->spans_count < (size_t)2 * SMALL_MAX &&
                        !names_targets(name);
        if (e->small_name && name.n)
            memmove(e->small[e->spans_count / 2], name.p, name.n);
    }
    if (e->small_name)
        add_span(e, span_of(e->small[e->spans_count / 2], name.n));
    e->keeping = SMALL;
    e->base = e->at;
}

/* Counts an announced string, and decides whether the entry is still held. */
static void admit(struct redis_entries *e)
{
    e->entry_bytes += e->string_bytes + JOB_STRING_BYTES;
    if (e->keeping == WHOLE && e->entry_bytes > e->max_bytes)
        shed(e);
    if (e->keeping == WHOLE && e->entry_bytes > e->allowed_bytes) {
        if (e->sink->room(e->ctx, e->entry_bytes))
            e->allowed_bytes = e->entry_bytes + e->entry_bytes / 4;
        else
            e->keeping = NOTHING;
    }
    if (e->keeping == NOTHING || (e->keeping == SMALL && e->string_bytes > SMALL_VALUE_MAX_BYTES)) {
        e->skip = e->string_bytes + 2;
    }
}

/* Takes a string of an oversized entry. A name stays in `spans` until its value arrives. */
static void take_small(struct redis_entries *e, struct span s, bool there)
{
    size_t i = e->spans_count / 2;

    if (e->is_name) {
        e->small_name = there && i < SMALL_MAX && s.n <= SMALL_NAME_MAX_BYTES && !names_targets(s);
        if (e->small_name && s.n)
            memcpy(e->small[i], s.p, s.n);
        if (e->small_name)
            add_span(e, span_of(e->small[i], s.n));
    } else if (e->small_name && there) {
        if (s.n)
            memcpy(e->small[i] + SMALL_NAME_MAX_BYTES, s.p, s.n);
        add_span(e, span_of(e->small[i] + SMALL_NAME_MAX_BYTES, s.n));
    } else if (e->small_name) {
        e->spans_count--;
    }
    e->base = e->at;
}

static void end_entry(struct redis_entries *e)
{
    if (e->keeping != NOTHING && !e->sink->entry(e->ctx, e->id, e->spans, e->spans_count,
                                                 e->entry_bytes, e->keeping == SMALL))
        e->keeping = NOTHING;
    else if (e->keeping == SMALL)
        e->keeping = WHOLE;
    e->base = e->at;
    e->spans_count = 0;
    e->id = span_of(NULL, 0);
    e->entries--;
    e->expected = e->entries ? ENTRY : e->streams ? PAIR : OVER;
}

static int field(struct redis_entries *e)
{
    struct span s = {NULL, 0};
    bool there = true;
    int rc = 1;

    if (!e->in_string) {
        rc = length(e);
        if (rc <= 0)
            return rc;
        admit(e);
    }
    if (e->skip) {
        there = false;
        rc = drop(e);
    } else {
        rc = string(e, &s);
    }
    if (rc <= 0)
        return rc;
    if (e->keeping == WHOLE)
        add_span(e, s);
    else if (e->keeping == SMALL)
        take_small(e, s, there);
    e->is_name = !e->is_name;
    if (--e->fields == 0)
        end_entry(e);
    return 1;
}

/* -- arrays around entries --------------------------------------------------------------------- */

static int count_of(struct redis_entries *e, uint64_t *out)
{
    int64_t n;
    int rc = number(e, '*', &n);

    if (rc <= 0)
        return rc;
    *out = n < 0 ? 0 : (uint64_t)n;
    return 1;
}

/* Parses the start of an array, which must have two elements. */
static int pair(struct redis_entries *e, enum expected next)
{
    uint64_t n;
    int rc = count_of(e, &n);

    if (rc <= 0)
        return rc;
    if (n != 2)
        return -EPROTO;
    e->expected = next;
    return 1;
}

static int error_line(struct redis_entries *e)
{
    const char *p = e->p + e->at, *end = memchr(p, '\n', e->n - e->at);
    size_t n = end ? (size_t)(end - p) : 0;

    if (!end)
        return e->n - e->at > LINE_MAX_BYTES + 2 ? -EPROTO : 0; /* with its sign and "\r" */
    if (n < 2 || n - 2 > LINE_MAX_BYTES || end[-1] != '\r')
        return -EPROTO;
    memcpy(e->error, p + 1, n - 2);
    e->error[n - 2] = '\0';
    e->at += n + 1;
    e->expected = OVER;
    return 1;
}

static int top(struct redis_entries *e)
{
    int rc;

    if (e->at < e->n && e->p[e->at] == '-')
        return error_line(e);
    rc = count_of(e, &e->streams);
    if (rc > 0)
        e->expected = e->streams ? PAIR : OVER;
    return rc;
}

/* Parses a short string, which is always kept. */
static int word(struct redis_entries *e, struct span *out)
{
    int rc = e->in_string ? 1 : length(e);

    if (rc <= 0)
        return rc;
    return e->string_bytes > LINE_MAX_BYTES ? -EPROTO : string(e, out);
}

static int list(struct redis_entries *e)
{
    int rc = count_of(e, &e->entries);

    if (rc <= 0)
        return rc;
    e->keeping = e->sink->stream(e->ctx, e->id, e->entries) ? WHOLE : NOTHING;
    e->id = span_of(NULL, 0);
    e->base = e->at;
    e->streams--;
    e->expected = e->entries ? ENTRY : e->streams ? PAIR : OVER;
    return 1;
}

static int fields(struct redis_entries *e)
{
    int rc = count_of(e, &e->fields);

    if (rc <= 0)
        return rc;
    e->entry_bytes = 0;
    e->is_name = true;
    e->allowed_bytes = ENTRIES_READ_BYTES;
    e->expected = FIELD;
    if (e->fields == 0)
        end_entry(e);
    return 1;
}

static int step(struct redis_entries *e)
{
    int rc;

    switch (e->expected) {
    case TOP:
        return top(e);
    case PAIR:
        e->keeping = WHOLE;
        return pair(e, KEY);
    case KEY:
    case ID:
        rc = word(e, &e->id);
        if (rc > 0)
            e->expected = e->expected == KEY ? LIST : FIELDS;
        return rc;
    case LIST:
        return list(e);
    case ENTRY:
        return pair(e, ID);
    case FIELDS:
        return fields(e);
    case FIELD:
        return field(e);
    case OVER:
        break;
    }
    return -EPROTO;
}

int redis_entries_took(struct redis_entries *e, size_t n)
{
    int rc = 1;

    must(n <= e->room - e->n);
    e->n += n;
    while (rc > 0 && e->expected != OVER)
        rc = step(e);
    if (rc < 0)
        return rc;
    if (e->expected != OVER)
        return 0;
    return e->at == e->n ? 1 : -EPROTO; /* only one command is pending, so nothing may follow */
}
