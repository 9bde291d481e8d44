/* SPDX-License-Identifier: MIT
 * A real Redis and the simulator's store side by side, and names that both share: their ids differ,
 * so an entry is known by the order in which it came to its lane. */
#pragma once

#include "queue_world.h"

#include <inttypes.h>

#include "rng.h"
#include "store.h"

#define OPERATIONS 12000
#define LOOK_EVERY 500
#define DUE_MAX 2000000 /* Unix ms: long ago */
/* Two that are due by the clock, which is not quite the same on both sides, are so far apart. */
#define APART_MS UINT64_C(100000)
#define OWNERS 2
#define TTL_S 3600

struct twin_id {
    struct entry_id real, fake;
};

enum side { REAL, FAKE };

struct session { /* what a queue remembers of its own operations */
    struct entry_id seen[LANE_N];
    uint64_t seq, booked[LEDGER_N], told;
};

struct twins {
    struct redis_server *server;
    struct world *real[OWNERS];
    struct store *fake;
    struct session session[OWNERS];
    struct twin_id *ids[LANE_N];
    size_t ids_count[LANE_N];
    struct rng rng;
    uint64_t played, dues;
    /* of the last restore */
    struct queue_spent spent[4096];
    struct queue_budget budget;
};

static const char *const owners[OWNERS] = {"me", "you"};

static uint64_t roll(struct twins *t, uint64_t below)
{
    return rng_below(&t->rng, below);
}

/* -- names that both sides share -- */

static inline struct entry_id id_on(const struct twin_id *id, enum side side)
{
    return side == REAL ? id->real : id->fake;
}

/* "normal-17-0+r" becomes "normal#3+r": the fourth entry of its lane. */
static inline void shared_name(const struct twins *t, enum side side, const char *job, char *out,
                               size_t room)
{
    const char *dash = strchr(job, '-');
    enum lane lane;
    unsigned long long ms, seq;
    int used = 0;

    snprintf(out, room, "%s", job);
    if (!dash || lane_parse(span_of(job, (size_t)(dash - job)), &lane) < 0 ||
        sscanf(dash + 1, "%llu-%llu%n", &ms, &seq, &used) < 2)
        return;
    for (size_t i = 0; i < t->ids_count[lane]; i++) {
        struct entry_id id = id_on(&t->ids[lane][i], side);

        if (id.ms == ms && id.seq == seq)
            snprintf(out, room, "%s#%zu%s", lane_names[lane], i, dash + 1 + used);
    }
}

static inline void put_field(const struct twins *t, enum side side, struct span name,
                             struct span value, char *out, size_t room)
{
    size_t n = strlen(out);
    char job[160] = "", shared[200];
    bool is_job = span_is(name, "job") || span_is(name, "dead_job");

    if (span_is(name, "dead_at"))
        return;
    snprintf(job, sizeof(job), "%.*s", (int)value.n, value.p);
    if (is_job)
        shared_name(t, side, job, shared, sizeof(shared));
    snprintf(out + n, room - n, "%.*s=%s\n", (int)name.n, name.p, is_job ? shared : job);
}

static inline void fake_text(const struct twins *t, const struct fields *f, char *out, size_t room)
{
    out[0] = '\0';
    for (size_t i = 0; f && i + 1 < f->count; i += 2)
        put_field(t, FAKE, f->at[i], f->at[i + 1], out, room);
}

static inline void real_text(const struct twins *t, const redisReply *fields, char *out,
                             size_t room)
{
    out[0] = '\0';
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        put_field(t, REAL, span_of(fields->element[i]->str, (size_t)fields->element[i]->len),
                  span_of(fields->element[i + 1]->str, (size_t)fields->element[i + 1]->len), out,
                  room);
}

/* not_before is the clock's when a repeat came by it. */
static inline void expect_same_text(const char *real, const char *fake)
{
    const char *r = strstr(real, "not_before="), *f = strstr(fake, "not_before=");

    if (r && f && (size_t)(r - real) == (size_t)(f - fake)) {
        uint64_t a = strtoull(r + 11, NULL, 10), b = strtoull(f + 11, NULL, 10);

        assert_memory_equal(real, fake, (size_t)(r - real));
        assert_true((a > b ? a - b : b - a) < 20000);
        assert_string_equal(strchr(r, '\n'), strchr(f, '\n'));
        return;
    }
    assert_string_equal(real, fake);
}

static inline struct entry_id parse_id(const redisReply *r)
{
    struct entry_id id;

    assert_int_equal(sscanf(r->str, "%" SCNu64 "-%" SCNu64, &id.ms, &id.seq), 2);
    return id;
}

/* -- new entries get their shared names -- */

static inline struct entry_id last_known(const struct twins *t, int lane, enum side side)
{
    if (t->ids_count[lane] == 0)
        return (struct entry_id){0, 0};
    return id_on(&t->ids[lane][t->ids_count[lane] - 1], side);
}

static inline void learn_lane(struct twins *t, int lane)
{
    struct entry_id real = last_known(t, lane, REAL), fake = last_known(t, lane, FAKE);
    redisReply *r =
        redis_server_try(t->server, "XRANGE " P "jobs:%s (%llu-%llu +", lane_names[lane],
                         (unsigned long long)real.ms, (unsigned long long)real.seq);
    const struct stream *s = &t->fake->lanes[lane];
    size_t n = 0;

    for (size_t i = s->first; i < s->first + s->count; i++) {
        if (entry_id_compare(s->at[i].id, fake) <= 0)
            continue;
        assert_true(n < r->elements);
        t->ids[lane] = alloc_grow(t->ids[lane], t->ids_count[lane] + 1, sizeof(struct twin_id));
        t->ids[lane][t->ids_count[lane]++] =
            (struct twin_id){parse_id(r->element[n]->element[0]), s->at[i].id};
        n++;
    }
    assert_int_equal(n, r->elements);
    freeReplyObject(r);
}

static inline void learn(struct twins *t)
{
    for (int lane = 0; lane < LANE_N; lane++)
        learn_lane(t, lane);
}

static uint64_t now_ms(void)
{
    return clock_wall_ms();
}
