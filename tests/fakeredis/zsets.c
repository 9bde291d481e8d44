/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

static void rank_free(struct rank *r)
{
    free(r->name.p);
    free(r);
}

void zset_free(struct zset *z)
{
    for (size_t i = 0; i < z->count; i++)
        rank_free(z->sorted[i]);
    free(z->sorted);
    map_deinit(&z->by_name);
}

static int compare(double score, struct span name, const struct rank *r)
{
    size_t n = name.n < r->name.n ? name.n : r->name.n;
    int c;

    if (score != r->score)
        return score < r->score ? -1 : 1;
    c = n ? memcmp(name.p, r->name.p, n) : 0;
    return c ? c : (name.n > r->name.n) - (name.n < r->name.n);
}

/* Where it is, or would be. */
static size_t position(const struct zset *z, double score, struct span name)
{
    size_t low = 0, high = z->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (compare(score, name, z->sorted[mid]) > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void take_out(struct zset *z, const struct rank *r)
{
    size_t i = position(z, r->score, bytes_span(r->name));

    must(z->sorted[i] == r);
    memmove(z->sorted + i, z->sorted + i + 1, (--z->count - i) * sizeof(*z->sorted));
}

static void put_in(struct zset *z, struct rank *r)
{
    size_t i = position(z, r->score, bytes_span(r->name));

    if (z->count == z->room) {
        z->room = z->room ? z->room * 2 : 8;
        z->sorted = alloc_grow(z->sorted, z->room, sizeof(*z->sorted));
    }
    memmove(z->sorted + i + 1, z->sorted + i, (z->count++ - i) * sizeof(*z->sorted));
    z->sorted[i] = r;
}

static bool parse_score(struct span s, double *out)
{
    char text[64], *end;

    if (s.n == 0 || s.n >= sizeof(text) || strchr(" \t\n", s.p[0]))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && end == text + s.n && !isnan(*out);
}

struct zadd_options {
    bool only_new, only_old;
    size_t first; /* of the scores and members */
};

/* False: the answer is an error already. */
static bool zadd_options(struct ask *a, struct zadd_options *o)
{
    double score;

    *o = (struct zadd_options){.first = 2};
    for (;; o->first++) {
        if (arg_is(a, o->first, "NX"))
            o->only_new = true;
        else if (arg_is(a, o->first, "XX"))
            o->only_old = true;
        else
            break;
    }
    if (a->argc == o->first || (a->argc - o->first) % 2 != 0) {
        say_error(a, SYNTAX_ERROR);
        return false;
    }
    if (o->only_new && o->only_old) {
        say_error(a, "ERR XX and NX options at the same time are not compatible");
        return false;
    }
    for (size_t i = o->first; i < a->argc; i += 2) {
        if (!parse_score(a->argv[i], &score)) {
            say_error(a, "ERR value is not a valid float");
            return false;
        }
    }
    return true;
}

enum added { LEFT_ALONE, UPDATED, ADDED };

static enum added add(struct value *v, const struct zadd_options *o, struct span number,
                      struct span name)
{
    struct rank *r = map_get(&v->zset.by_name, name);
    double score;

    must(parse_score(number, &score));
    if (r ? o->only_new || r->score == score : o->only_old)
        return LEFT_ALONE;
    if (r) {
        take_out(&v->zset, r);
        r->score = score;
        put_in(&v->zset, r);
        return UPDATED;
    }
    r = alloc_zeroed(1, sizeof(*r));
    *r = (struct rank){score, bytes_copy(name)};
    map_put(&v->zset.by_name, name, r);
    put_in(&v->zset, r);
    return ADDED;
}

static void run_zadd(struct ask *a)
{
    struct zadd_options o;
    bool changed = false;
    struct value *v;
    int64_t n = 0;

    if (!zadd_options(a, &o) || !value_of(a, 1, KIND_ZSET, &v))
        return;
    if (!v && o.only_old) {
        say_number(a, 0);
        return;
    }
    if (!v)
        v = value_make(a->f, a->argv[1], KIND_ZSET);
    for (size_t i = o.first; i < a->argc; i += 2) {
        enum added added = add(v, &o, a->argv[i], a->argv[i + 1]);

        n += added == ADDED;
        changed |= added != LEFT_ALONE;
    }
    if (changed)
        value_changed(a->f, v);
    say_number(a, n);
}

static void run_zrem(struct ask *a)
{
    struct value *v;
    int64_t n = 0;

    if (!value_of(a, 1, KIND_ZSET, &v))
        return;
    for (size_t i = 2; v && i < a->argc; i++) {
        struct rank *r = map_take(&v->zset.by_name, a->argv[i]);

        if (!r)
            continue;
        take_out(&v->zset, r);
        rank_free(r);
        n++;
    }
    if (n)
        value_changed(a->f, v);
    say_number(a, n);
}

static void run_zscore(struct ask *a)
{
    const struct rank *r;
    struct value *v;

    if (!value_of(a, 1, KIND_ZSET, &v))
        return;
    r = v ? map_get(&v->zset.by_name, a->argv[2]) : NULL;
    if (r)
        say_score(a, r->score);
    else
        say_nil(a);
}

static void run_zcard(struct ask *a)
{
    struct value *v;

    if (value_of(a, 1, KIND_ZSET, &v))
        say_number(a, v ? (int64_t)v->zset.count : 0);
}

static void say_rank(struct ask *a, const struct rank *r, bool scores)
{
    say_text(a, bytes_span(r->name));
    if (scores)
        say_score(a, r->score);
}

enum direction { UP, DOWN };

static void say_positions(struct ask *a, enum direction d)
{
    bool scores = arg_is(a, 4, "WITHSCORES");
    int64_t from, to;
    struct value *v;

    if (a->argc > 4 + (size_t)scores) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    if (!arg_number(a, 2, &from) || !arg_number(a, 3, &to) || !value_of(a, 1, KIND_ZSET, &v))
        return;
    if (!v || !clip_range(&from, &to, v->zset.count)) {
        say_array(a, 0);
        return;
    }
    say_array(a, (size_t)(to - from + 1) << scores);
    for (size_t i = (size_t)from; i <= (size_t)to; i++)
        say_rank(a, v->zset.sorted[d == UP ? i : v->zset.count - 1 - i], scores);
}

static void run_zrange(struct ask *a)
{
    say_positions(a, UP);
}

static void run_zrevrange(struct ask *a)
{
    say_positions(a, DOWN);
}

struct bound {
    double score;
    bool open; /* the score itself is outside */
};

static bool parse_bound(struct span s, struct bound *out)
{
    out->open = s.n > 0 && s.p[0] == '(';
    return parse_score(span_of(s.p + out->open, s.n - out->open), &out->score);
}

struct score_range {
    struct bound min, max;
    int64_t skip, most; /* most < 0: all */
    bool scores;
};

/* False: the answer is an error already. */
static bool score_range(struct ask *a, struct score_range *out)
{
    *out = (struct score_range){.most = -1};
    for (size_t i = 4; i < a->argc; i++) {
        if (arg_is(a, i, "WITHSCORES")) {
            out->scores = true;
        } else if (arg_is(a, i, "LIMIT") && i + 2 < a->argc) {
            if (!arg_number(a, i + 1, &out->skip) || !arg_number(a, i + 2, &out->most))
                return false;
            i += 2;
        } else {
            say_error(a, SYNTAX_ERROR);
            return false;
        }
    }
    if (!parse_bound(a->argv[2], &out->min) || !parse_bound(a->argv[3], &out->max)) {
        say_error(a, "ERR min or max is not a float");
        return false;
    }
    return true;
}

static bool within(const struct score_range *r, double score)
{
    return (r->min.open ? score > r->min.score : score >= r->min.score) &&
           (r->max.open ? score < r->max.score : score <= r->max.score);
}

static void run_zrangebyscore(struct ask *a)
{
    struct score_range range;
    size_t first, count = 0;
    struct value *v;

    if (!score_range(a, &range) || !value_of(a, 1, KIND_ZSET, &v))
        return;
    if (!v || range.skip < 0) {
        say_array(a, 0);
        return;
    }
    first = position(&v->zset, range.min.score, SPAN(""));
    while (first < v->zset.count && !within(&range, v->zset.sorted[first]->score) &&
           v->zset.sorted[first]->score <= range.min.score)
        first++;
    first += (size_t)min_u64((uint64_t)range.skip, v->zset.count - first);
    while (first + count < v->zset.count && within(&range, v->zset.sorted[first + count]->score) &&
           (range.most < 0 || count < (size_t)range.most))
        count++;
    say_array(a, count << range.scores);
    for (size_t i = 0; i < count; i++)
        say_rank(a, v->zset.sorted[first + i], range.scores);
}

const struct command fakeredis_zsets[] = {
    {"zadd", -4, WRITES | NEEDS_MEMORY, run_zadd},
    {"zrem", -3, WRITES, run_zrem},
    {"zscore", 3, 0, run_zscore},
    {"zcard", 2, 0, run_zcard},
    {"zrange", -4, 0, run_zrange},
    {"zrevrange", -4, 0, run_zrevrange},
    {"zrangebyscore", -4, 0, run_zrangebyscore},
    {0},
};
