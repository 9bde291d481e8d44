/* SPDX-License-Identifier: MIT */
#include "standing.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "rediskey.h"

#define FRESH_NS NS_PER_S
#define HANDLING_MS 50 /* reading, one request, its answer */

struct entry {
    struct standing *standing;
    char *account;
    struct standing_account now;
    uint64_t read_ns; /* NEVER: not yet */
    bool asked;
};

/* Everybody who waits for all accounts. */
struct refresh {
    struct standing *standing;
    uint32_t open;
    bool ok;
    standing_cb *done;
    void *ctx;
};

struct standing {
    struct redis *redis;
    struct entry *entries;
    uint32_t count;
};

struct standing *standing_new(const struct config *c, struct redis *r)
{
    struct standing *s = alloc_zeroed(1, sizeof(*s));

    s->redis = r;
    s->count = c->accounts_count; /* the same in every configuration: see not_reloadable */
    s->entries = alloc_zeroed(s->count, sizeof(*s->entries));
    for (uint32_t i = 0; i < s->count; i++) {
        s->entries[i].standing = s;
        s->entries[i].account = alloc_str(c->accounts[i].name);
        s->entries[i].read_ns = NEVER;
    }
    return s;
}

void standing_free(struct standing *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        free(s->entries[i].account);
    free(s->entries);
    free(s);
}

/* -- asking -- */

/* One script, so that one answer says it all. KEYS the three lanes, postponed, dead, lease,
 * control, status, later (of version 0.1.0).
 *
 * The oldest entry of a lane tells its age by its id, but XRANGE hands over the whole of it, and
 * one of 10,000 long URLs would keep Redis busy for a second. MEMORY USAGE counts the first node of
 * the stream for each of its nodes, of at most 100 entries, so it says how large that can be. Where
 * it can be larger than a script may look at, the age is -1: nobody knows. */
#define LOOK_ANSWERS 12
static const char look[] = "local out, t = {}, redis.call('TIME')\n"
                           "local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)\n"
                           "local function age(key, length)\n"
                           "  if length == 0 then return 0 end\n"
                           "  local most = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 1)\n"
                           "  if length > 200 then most = most * 200 / length end\n"
                           "  if most > 1048576 then return -1 end\n"
                           "  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]\n"
                           "  return math.max(0, now - tonumber(first[1]:match('^%d+')))\n"
                           "end\n"
                           "for i = 1, 3 do\n"
                           "  out[i] = redis.call('XLEN', KEYS[i])\n"
                           "  out[3 + i] = age(KEYS[i], out[i])\n"
                           "end\n"
                           "local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]\n"
                           "out[7] = redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[9])\n"
                           "out[8] = next and math.max(0, math.floor(tonumber(next)) - now) or 0\n"
                           "out[9] = redis.call('XLEN', KEYS[5])\n"
                           "out[10] = redis.call('EXISTS', KEYS[6])\n"
                           "out[11] = redis.call('HGET', KEYS[7], 'paused') or '0'\n"
                           "out[12] = redis.call('GET', KEYS[8]) or ''\n"
                           "return out\n";

static uint64_t number(const struct redisReply *r, size_t i)
{
    int64_t n = reply_number(reply_at(r, i));

    return n < 0 ? 0 : (uint64_t)n;
}

static double member(const json_t *j, const char *name)
{
    return (double)json_integer_value(json_object_get(j, name));
}

static void take_report(struct standing_account *s, struct span text)
{
    json_t *j = json_loadb(text.p, text.n, 0, NULL);
    double jobs = member(j, "jobs_taken"), targets = member(j, "targets_taken");

    s->targets_per_job = jobs > 0 ? (targets - member(j, "targets_merged")) / jobs : 1;
    if (s->targets_per_job < 0)
        s->targets_per_job = 0;
    s->budget_left = (uint64_t)member(j, "budget_left");
    for (int lane = 0; lane < LANE_N; lane++) {
        char name[24];

        snprintf(name, sizeof(name), "lost_%s", lane_names[lane]);
        s->lost[lane] = member(j, name) > 0;
    }
    json_decref(j);
}

/* Where Redis was not asked, the age that was known is counted on. */
static uint64_t oldest_ms(const struct entry *e, const struct redisReply *r, size_t lane)
{
    if (reply_number(reply_at(r, 3 + lane)) >= 0)
        return number(r, 3 + lane);
    if (e->read_ns == NEVER)
        return 0;
    return e->now.overview.lanes[lane].oldest_ms + (clock_mono_ns() - e->read_ns) / NS_PER_MS;
}

static void take(struct entry *e, const struct redisReply *r)
{
    struct standing_account s = {.known = true};

    for (size_t i = 0; i < LANE_N; i++)
        s.overview.lanes[i] =
            (struct overview_lane){.jobs = number(r, i), .oldest_ms = oldest_ms(e, r, i)};
    s.overview.later = number(r, 6);
    s.overview.later_next_ms = number(r, 7);
    s.overview.dead = number(r, 8);
    s.overview.leader = number(r, 9) == 1 ? (char *)"" : NULL;
    s.overview.paused = number(r, 10) == 1;
    overview_take_status(&s.overview, reply_text(reply_at(r, 11)));
    take_report(&s, reply_text(reply_at(r, 11)));
    e->now = s;
    e->read_ns = clock_mono_ns();
}

struct question {
    struct entry *entry;
    struct refresh *refresh; /* NULL: nobody waits for it */
};

static void finish(struct refresh *f)
{
    if (--f->open)
        return;
    f->done(f->ctx, f->ok);
    free(f);
}

static void on_look(void *ctx, struct redisReply *reply)
{
    struct question *q = ctx;

    q->entry->asked = false;
    if (reply && !reply_refused(reply) && reply_count(reply) == LOOK_ANSWERS)
        take(q->entry, reply);
    else if (q->refresh)
        q->refresh->ok = false;
    if (q->refresh)
        finish(q->refresh);
    free(q);
}

static void ask(struct entry *e, struct refresh *refresh)
{
    static const char *const what[] = {"jobs:urgent", "jobs:normal", "jobs:bulk",
                                       "postponed",   "dead",        "lease",
                                       "control",     "status",      "later"};
    struct question *q = alloc_zeroed(1, sizeof(*q));
    char *keys[array_len(what)];
    struct span argv[3 + array_len(what)] = {SPAN("EVAL"), span_str(look), SPAN("9")};

    q->entry = e;
    q->refresh = refresh;
    e->asked = true;
    for (size_t i = 0; i < array_len(what); i++) {
        keys[i] = rediskey(e->account, what[i]);
        argv[3 + i] = span_str(keys[i]);
    }
    redis_command(e->standing->redis, array_len(argv), argv, on_look, q);
    for (size_t i = 0; i < array_len(what); i++)
        free(keys[i]);
}

const struct standing_account *standing_of(struct standing *s, const struct config_account *a,
                                           uint64_t now_ns)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct entry *e = &s->entries[i];

        if (strcmp(e->account, a->name) != 0)
            continue;
        if (!e->asked && (e->read_ns == NEVER || now_ns > e->read_ns + FRESH_NS) &&
            redis_is_up(s->redis))
            ask(e, NULL);
        return &e->now;
    }
    base_abort("an account that is not in the configuration", __FILE__, __LINE__);
}

void standing_refresh(struct standing *s, standing_cb *done, void *ctx)
{
    struct refresh *f = alloc_zeroed(1, sizeof(*f));

    *f = (struct refresh){s, s->count, true, done, ctx};
    for (uint32_t i = 0; i < s->count; i++)
        ask(&s->entries[i], f);
}

/* -- guessing -- */

uint64_t standing_eta_ms(const struct standing_account *s, const struct config_account *a,
                         enum lane lane, uint64_t cost)
{
    double before = (double)cost, per_ms = (double)a->budget.purges / (a->budget.per_s * 1000.0);
    double at_once = (double)min_u64(s->budget_left, config_burst(&a->budget));
    double linger = config_lane(a, lane)->linger_ms;

    if (!s->known || !s->overview.leader || s->overview.paused)
        return UINT64_MAX;
    for (int i = 0; i <= (int)lane; i++)
        before += (double)s->overview.lanes[i].jobs * s->targets_per_job;
    if (a->budget.batch_cost == BATCH_COST_REQUEST)
        before /= 256;
    if (before <= at_once)
        return (uint64_t)linger + HANDLING_MS;
    return (uint64_t)((before - at_once) / per_ms + linger) + HANDLING_MS;
}
