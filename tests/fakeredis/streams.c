/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

/* -- ids -- */

int stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return (a.seq > b.seq) - (a.seq < b.seq);
}

bool stream_id_parse(struct span s, uint64_t seq, struct stream_id *out)
{
    const char *dash = memchr(s.p, '-', s.n);
    size_t n = dash ? (size_t)(dash - s.p) : s.n;

    out->seq = seq;
    if (span_to_u64(span_of(s.p, n), &out->ms) < 0)
        return false;
    return !dash || span_to_u64(span_of(dash + 1, s.n - n - 1), &out->seq) == 0;
}

void say_stream_id(struct ask *a, struct stream_id id)
{
    char text[41];
    size_t n = put_digits(text, id.ms);

    text[n++] = '-';
    n += put_digits(text + n, id.seq);
    say_text(a, span_of(text, n));
}

static bool next_id(struct stream_id *id)
{
    if (++id->seq == 0 && ++id->ms == 0) {
        *id = (struct stream_id){UINT64_MAX, UINT64_MAX};
        return false;
    }
    return true;
}

static bool previous_id(struct stream_id *id)
{
    if (id->seq-- == 0 && id->ms-- == 0) {
        *id = (struct stream_id){0, 0};
        return false;
    }
    return true;
}

/* -- the stream -- */

void stream_free(struct fstream *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(stream_at(s, i));
    free(s->items);
    for (size_t i = 0; i < s->groups_count; i++) {
        free(s->groups[i].name.p);
        free(s->groups[i].pending);
        map_deinit(&s->groups[i].consumers);
    }
    free(s->groups);
}

size_t stream_position(const struct fstream *s, struct stream_id id)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (stream_id_compare(stream_at(s, mid)->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void append(struct fstream *s, struct stream_item *item)
{
    if (s->head + s->count == s->room) {
        if (s->head > s->count) {
            memmove(s->items, s->items + s->head, s->count * sizeof(*s->items));
            s->head = 0;
        } else {
            s->room = s->room ? s->room * 2 : 8;
            s->items = alloc_grow(s->items, s->room, sizeof(*s->items));
        }
    }
    s->items[s->head + s->count++] = item;
}

static struct fakeredis_entry entry_of(const struct stream_item *item)
{
    return (struct fakeredis_entry){item->id.ms, item->id.seq, item->fields, item->count};
}

static void tell_added(const struct fakeredis *f, const struct value *v,
                       const struct stream_item *item)
{
    struct fakeredis_entry e = entry_of(item);

    if (f->watch.added)
        f->watch.added(f->watch_ctx, bytes_span(v->name), &e);
}

static void let_go(const struct fakeredis *f, const struct value *v, struct stream_item *item)
{
    struct fakeredis_entry e = entry_of(item);

    if (f->watch.removed)
        f->watch.removed(f->watch_ctx, bytes_span(v->name), &e);
    free(item);
}

static void remove_first(const struct fakeredis *f, struct value *v)
{
    let_go(f, v, v->stream.items[v->stream.head++]);
    v->stream.count--;
}

/* By moving the fewer ones. */
static void close_gap(struct fstream *s, size_t i)
{
    struct stream_item **first = s->items + s->head;

    s->count--;
    if (i > s->count / 2) {
        memmove(first + i, first + i + 1, (s->count - i) * sizeof(*first));
        return;
    }
    memmove(first + 1, first, i * sizeof(*first));
    s->head++;
}

static bool remove_item(const struct fakeredis *f, struct value *v, struct stream_id id)
{
    struct fstream *s = &v->stream;
    size_t i = stream_position(s, id);

    if (i == s->count || stream_id_compare(stream_at(s, i)->id, id) != 0)
        return false;
    if (i == 0) {
        remove_first(f, v);
    } else {
        let_go(f, v, stream_at(s, i));
        close_gap(s, i);
    }
    if (stream_id_compare(id, s->deleted) > 0)
        s->deleted = id;
    return true;
}

static void say_item(struct ask *a, const struct stream_item *item)
{
    say_array(a, 2);
    say_stream_id(a, item->id);
    say_array(a, item->count);
    for (size_t i = 0; i < item->count; i++)
        say_text(a, item->fields[i]);
}

/* -- adding -- */

#define TOO_SMALL "ERR The ID specified in XADD is equal or smaller than the target stream top item"

struct wish { /* for the id of a new entry */
    bool any, any_seq;
    struct stream_id id;
};

/* "*", "5-*", "5-1", "5". False: the answer is an error already. */
static bool parse_wish(struct ask *a, struct span s, struct wish *out)
{
    *out = (struct wish){.any = span_is(s, "*")};
    if (out->any)
        return true;
    out->any_seq = s.n > 2 && memcmp(s.p + s.n - 2, "-*", 2) == 0;
    if (!stream_id_parse(span_of(s.p, s.n - (out->any_seq ? 2 : 0)), 0, &out->id)) {
        say_error(a, INVALID_STREAM_ID);
        return false;
    }
    if (!out->any_seq && out->id.ms == 0 && out->id.seq == 0) {
        say_error(a, "ERR The ID specified in XADD must be greater than 0-0");
        return false;
    }
    return true;
}

/* False: the answer is an error already. */
static bool choose_id(struct ask *a, const struct wish *wish, struct stream_id last,
                      struct stream_id *out)
{
    bool ok = true;

    *out = wish->any ? (struct stream_id){fakeredis_now_ms(a->f), 0} : wish->id;
    if (wish->any ? out->ms <= last.ms : wish->any_seq && out->ms == last.ms) {
        *out = last;
        ok = next_id(out);
    }
    ok = ok && stream_id_compare(*out, last) > 0;
    if (!ok)
        say_error(a, TOO_SMALL);
    return ok;
}

static struct stream_item *new_item(const struct span *fields, size_t count)
{
    size_t bytes = sizeof(struct stream_item) + count * sizeof(*fields);
    struct stream_item *item;
    char *to;

    for (size_t i = 0; i < count; i++)
        bytes += fields[i].n;
    item = alloc_bytes(bytes);
    item->count = count;
    to = (char *)(item->fields + count);
    for (size_t i = 0; i < count; i++) {
        item->fields[i] = span_of(to, fields[i].n);
        if (fields[i].n)
            memcpy(to, fields[i].p, fields[i].n);
        to += fields[i].n;
    }
    return item;
}

static void run_xadd(struct ask *a)
{
    size_t at = arg_is(a, 2, "NOMKSTREAM") ? 3 : 2;
    struct stream_id last = {0, 0}, id;
    struct stream_item *item;
    struct wish wish;
    struct value *v;

    if (a->argc < at + 3 || (a->argc - at) % 2 == 0) {
        say_wrong_arguments(a);
        return;
    }
    if (!parse_wish(a, a->argv[at], &wish) || !value_of(a, 1, KIND_STREAM, &v))
        return;
    if (!v && at == 3) {
        say_nil(a);
        return;
    }
    if (v)
        last = v->stream.last;
    if (last.ms == UINT64_MAX && last.seq == UINT64_MAX) {
        say_error(a, "ERR The stream has exhausted the last possible ID, unable to add more items");
        return;
    }
    if (!choose_id(a, &wish, last, &id))
        return;
    must(!v || v->stream.backlog.next == v->stream.backlog.end);
    if (!v)
        v = value_make(a->f, a->argv[1], KIND_STREAM);
    item = new_item(a->argv + at + 1, a->argc - at - 1);
    item->id = id;
    append(&v->stream, item);
    v->stream.last = id;
    tell_added(a->f, v, item);
    value_changed(a->f, v);
    say_stream_id(a, id);
}

/* -- entries that are only made when they are read -- */

void fakeredis_backlog(struct fakeredis *f, struct span key, uint64_t entries, size_t fields,
                       fakeredis_make_cb *make, void *ctx)
{
    struct value *v = value_make(f, key, KIND_STREAM);
    struct fstream *s = &v->stream;

    must(entries > 0);
    s->backlog = (struct backlog){fakeredis_now_ms(f), 0, entries, fields, make, ctx};
    s->last = (struct stream_id){s->backlog.ms, entries - 1};
    value_changed(f, v);
}

static void make_one(struct fstream *s)
{
    struct backlog *b = &s->backlog;
    struct span *fields = alloc_zeroed(b->fields, sizeof(*fields));
    struct stream_item *item;

    b->make(b->ctx, fields, b->fields);
    item = new_item(fields, b->fields);
    item->id = (struct stream_id){b->ms, b->next++};
    append(s, item);
    free(fields);
}

size_t stream_length(const struct fstream *s)
{
    return s->count + (s->backlog.end - s->backlog.next);
}

bool stream_has(const struct fstream *s, struct stream_id id)
{
    const struct backlog *b = &s->backlog;
    size_t i = stream_position(s, id);

    return (i < s->count && stream_id_compare(stream_at(s, i)->id, id) == 0) ||
           (id.ms == b->ms && id.seq >= b->next && id.seq < b->end);
}

/* -- removing -- */

static void run_xdel(struct ask *a)
{
    struct stream_id id;
    struct value *v;
    int64_t n = 0;

    if (!value_of(a, 1, KIND_STREAM, &v))
        return;
    if (!v) {
        say_number(a, 0);
        return;
    }
    for (size_t i = 2; i < a->argc; i++) {
        if (!stream_id_parse(a->argv[i], 0, &id)) {
            say_error(a, INVALID_STREAM_ID);
            return;
        }
    }
    for (size_t i = 2; i < a->argc; i++) {
        must(stream_id_parse(a->argv[i], 0, &id));
        n += remove_item(a->f, v, id);
    }
    if (n)
        value_changed(a->f, v);
    say_number(a, n);
}

static void run_xtrim(struct ask *a)
{
    bool by_id = arg_is(a, 2, "MINID"), about = arg_is(a, 3, "~");
    size_t at = about || arg_is(a, 3, "=") ? 4 : 3;
    bool limited = about && a->argc == at + 3 && arg_is(a, at + 1, "LIMIT");
    struct stream_id least = {0, 0};
    int64_t most = 0, n = 0, limit = 0;
    struct value *v;

    if ((!by_id && !arg_is(a, 2, "MAXLEN")) || a->argc != at + (limited ? 3 : 1)) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    if (limited && !arg_number(a, at + 2, &limit))
        return;
    if (by_id && !stream_id_parse(a->argv[at], 0, &least)) {
        say_error(a, INVALID_STREAM_ID);
        return;
    }
    if (!by_id && !arg_number(a, at, &most))
        return;
    if (most < 0) {
        say_error(a, "ERR The MAXLEN argument must be >= 0.");
        return;
    }
    if (!value_of(a, 1, KIND_STREAM, &v))
        return;
    while (v && v->stream.count && (limit <= 0 || n < limit) &&
           (by_id ? stream_id_compare(stream_at(&v->stream, 0)->id, least) < 0
                  : stream_length(&v->stream) > (uint64_t)most)) {
        remove_first(a->f, v);
        n++;
    }
    if (n)
        value_changed(a->f, v);
    say_number(a, n);
}

static void run_xsetid(struct ask *a)
{
    struct stream_id id;
    struct value *v;

    if (!stream_id_parse(a->argv[2], 0, &id)) {
        say_error(a, INVALID_STREAM_ID);
        return;
    }
    if (!value_of(a, 1, KIND_STREAM, &v))
        return;
    if (!v) {
        say_error(a, NO_SUCH_KEY);
    } else if (v->stream.count &&
               stream_id_compare(id, stream_at(&v->stream, v->stream.count - 1)->id) < 0) {
        say_error(a, "ERR The ID specified in XSETID is smaller than the target stream top item");
    } else {
        v->stream.last = id;
        a->f->changes++; /* for WATCH it has not changed */
        say_status(a, "OK");
    }
}

/* -- reading -- */

static void run_xlen(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_STREAM, &v))
        say_number(a, v ? (int64_t)stream_length(&v->stream) : 0);
}

enum end { FROM, TO };

/* "-", "+", "5", "5-1", "(5-1". False: the answer is an error already. */
static bool range_end(struct ask *a, size_t i, enum end end, struct stream_id *out)
{
    struct span s = a->argv[i];
    bool open = s.n > 1 && s.p[0] == '(';

    if (span_is(s, "-") || span_is(s, "+")) {
        *out =
            s.p[0] == '-' ? (struct stream_id){0, 0} : (struct stream_id){UINT64_MAX, UINT64_MAX};
        return true;
    }
    if (!stream_id_parse(span_of(s.p + open, s.n - open), end == FROM ? 0 : UINT64_MAX, out)) {
        say_error(a, INVALID_STREAM_ID);
        return false;
    }
    if (open && !(end == FROM ? next_id(out) : previous_id(out))) {
        say_error(a, "ERR invalid %s ID for the interval", end == FROM ? "start" : "end");
        return false;
    }
    return true;
}

/* False: the answer is an error already. *most < 0: all. */
static bool range_count(struct ask *a, int64_t *most)
{
    *most = -1;
    if (a->argc == 4)
        return true;
    if (!arg_is(a, 4, "COUNT") || a->argc != 6) {
        say_error(a, SYNTAX_ERROR);
        return false;
    }
    if (!arg_number(a, 5, most))
        return false;
    if (*most < 0)
        *most = 0;
    return true;
}

static void say_range(struct ask *a, size_t from_at, size_t to_at)
{
    struct stream_id from, to;
    size_t first, end, count;
    bool reverse = from_at > to_at;
    struct value *v;
    int64_t most;

    if (!range_end(a, from_at, FROM, &from) || !range_end(a, to_at, TO, &to) ||
        !range_count(a, &most) || !value_of(a, 1, KIND_STREAM, &v))
        return;
    if (v && most == 0) {
        say_no_array(a);
        return;
    }
    first = v ? stream_position(&v->stream, from) : 0;
    end = v ? stream_position(&v->stream, to) : 0;
    if (v && end < v->stream.count && stream_id_compare(stream_at(&v->stream, end)->id, to) == 0)
        end++;
    count = end > first ? end - first : 0;
    if (most >= 0 && count > (size_t)most)
        count = (size_t)most;
    say_array(a, count);
    for (size_t i = 0; i < count; i++)
        say_item(a, stream_at(&v->stream, reverse ? end - 1 - i : first + i));
}

static void run_xrange(struct ask *a)
{
    say_range(a, 2, 3);
}

static void run_xrevrange(struct ask *a)
{
    say_range(a, 3, 2);
}

struct xread {
    int64_t most; /* 0: all */
    size_t first, streams;
};

/* False: the answer is an error already. */
static bool xread_options(struct ask *a, struct xread *x)
{
    size_t i = 1;
    int64_t block;

    *x = (struct xread){0};
    for (; i + 1 < a->argc && !arg_is(a, i, "STREAMS"); i += 2) {
        if (!arg_is(a, i, "COUNT") && !arg_is(a, i, "BLOCK")) {
            say_error(a, SYNTAX_ERROR);
            return false;
        }
        if (!arg_number(a, i + 1, arg_is(a, i, "COUNT") ? &x->most : &block))
            return false;
    }
    x->first = i + 1;
    x->streams = (a->argc - x->first) / 2;
    if (!arg_is(a, i, "STREAMS") || x->streams == 0 || (a->argc - x->first) % 2 != 0) {
        say_error(a, "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' "
                     "must be specified.");
        return false;
    }
    if (x->most < 0)
        x->most = 0;
    return true;
}

/* How many entries of a stream a read gets, and from which position on. */
static size_t unread(const struct xread *x, struct value *v, struct stream_id after, size_t *from)
{
    size_t n;

    if (!v || !next_id(&after))
        return 0;
    *from = stream_position(&v->stream, after);
    while (v->stream.backlog.next < v->stream.backlog.end &&
           (x->most == 0 || v->stream.count - *from < (size_t)x->most))
        make_one(&v->stream);
    n = v->stream.count - *from;
    return x->most ? (size_t)min_u64(n, (uint64_t)x->most) : n;
}

/* False: the answer is an error already. */
static bool xread_stream(struct ask *a, const struct xread *x, size_t k, struct value **v,
                         struct stream_id *after)
{
    struct span id = a->argv[x->first + x->streams + k];

    if (!value_of(a, x->first + k, KIND_STREAM, v))
        return false;
    if (span_is(id, "$")) {
        *after = *v ? (*v)->stream.last : (struct stream_id){0, 0};
    } else if (!stream_id_parse(id, 0, after)) {
        say_error(a, INVALID_STREAM_ID);
        return false;
    }
    return true;
}

static void run_xread(struct ask *a)
{
    size_t with = 0, from, n;
    struct stream_id after;
    struct xread x;
    struct value *v;

    if (!xread_options(a, &x))
        return;
    for (size_t k = 0; k < x.streams; k++) {
        if (!xread_stream(a, &x, k, &v, &after))
            return;
        with += unread(&x, v, after, &from) > 0;
    }
    if (with == 0) {
        say_no_array(a);
        return;
    }
    say_array(a, with);
    for (size_t k = 0; k < x.streams; k++) {
        must(xread_stream(a, &x, k, &v, &after));
        n = unread(&x, v, after, &from);
        if (n == 0)
            continue;
        say_array(a, 2);
        say_text(a, a->argv[x.first + k]);
        say_array(a, n);
        for (size_t i = 0; i < n; i++)
            say_item(a, stream_at(&v->stream, from + i));
    }
}

const struct command fakeredis_streams[] = {
    {"xadd", -5, WRITES | NEEDS_MEMORY, run_xadd},
    {"xdel", -3, WRITES, run_xdel},
    {"xtrim", -4, WRITES, run_xtrim},
    {"xsetid", -3, WRITES | NEEDS_MEMORY, run_xsetid},
    {"xlen", 2, 0, run_xlen},
    {"xrange", -4, 0, run_xrange},
    {"xrevrange", -4, 0, run_xrevrange},
    {"xread", -4, 0, run_xread},
    {0},
};
