/* SPDX-License-Identifier: MIT */
#include "overview_cache.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "brake.h"
#include "client.h"
#include "clock.h"
#include "fastly.h"
#include "keys.h"
#include "list.h"
#include "replicated.h"
#include "scripts.h"

#define FRESH_NS NS_PER_S                  /* for callers that need the state of all accounts */
#define ESTIMATE_FRESH_NS (50 * NS_PER_MS) /* for producers */
#define LEADERLESS_FRESH_NS 0              /* another instance may lead at any moment */
#define HANDLING_MS 50                     /* reading, one request, its reply */

struct entry {
    struct overview_cache *overviews;
    char *account;
    struct overview_cache_account now;
    uint64_t read_ns;  /* NEVER: not yet */
    uint64_t redis_ms; /* Redis' time then */
    bool asked;
};

struct asker { /* a caller that waits for all accounts */
    struct list link;
    overview_cache_cb *done;
    void *ctx;
};

struct overview_cache {
    overview_cache_redis_cb *redis_of;
    void *ctx;
    struct entry *entries;
    uint32_t count;
    struct list askers; /* waiting for the refresh under way */
    uint32_t open;      /* replies that it lacks; 0: no refresh is under way */
    bool ok;            /* of the refresh under way, or of the last one */
    uint64_t asked_ns;  /* when the last refresh began; NEVER: there was none */
};

struct overview_cache *overview_cache_new(const struct config *c, overview_cache_redis_cb *redis_of,
                                          void *ctx)
{
    struct overview_cache *s = alloc_zeroed(1, sizeof(*s));

    s->redis_of = redis_of;
    s->ctx = ctx;
    s->asked_ns = NEVER;
    list_init(&s->askers);
    s->count = c->accounts_count; /* the same in every configuration: see config_change_possible */
    s->entries = alloc_zeroed(s->count, sizeof(*s->entries));
    for (uint32_t i = 0; i < s->count; i++) {
        s->entries[i].overviews = s;
        s->entries[i].account = alloc_str(c->accounts[i].name);
        s->entries[i].read_ns = NEVER;
    }
    return s;
}

void overview_cache_free(struct overview_cache *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        consumer_states_deinit(&s->entries[i].now.overview.consumers);
        free(s->entries[i].account);
    }
    free(s->entries);
    free(s);
}

/* -- asking -- */

#define LOOK_ANSWERS 13 /* number of values that overview.lua returns */

static uint64_t number(const struct redisReply *r, size_t i)
{
    int64_t n = reply_number(reply_at(r, i));

    return n < 0 ? 0 : (uint64_t)n;
}

/* A missing or negative number counts as 0, because other programs can write this key, too. */
static double member(const json_t *j, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(j, name));

    return n > 0 ? (double)n : 0;
}

static uint64_t whole(double n)
{
    return n <= 0 ? 0 : n >= 9e15 ? UINT64_C(9000000000000000) : (uint64_t)n;
}

static void take_report(struct overview_cache_account *s, struct span text)
{
    json_t *j = json_loadb(text.p, text.n, 0, NULL);
    const char *brake, *cause;
    double jobs = member(j, "jobs_taken"), targets = member(j, "targets_taken");

    s->targets_per_job = jobs > 0 ? (targets - member(j, "targets_merged")) / jobs : 1;
    if (s->targets_per_job < 0)
        s->targets_per_job = 0;
    s->budget_left = whole(member(j, "budget_left"));
    s->pace_per_ms = member(j, "budget_pace_milli") / 1e6;
    s->writes_known = json_is_integer(json_object_get(j, "write_budget_left"));
    s->writes_left = whole(member(j, "write_budget_left"));
    for (int lane = 0; lane < LANE_N; lane++) {
        char name[24];

        snprintf(name, sizeof(name), "lost_%s", lane_names[lane]);
        s->lost[lane] = member(j, name) > 0;
        snprintf(name, sizeof(name), "at_once_%s", lane_names[lane]);
        s->at_once[lane] = member(j, name);
    }
    brake = json_string_value(json_object_get(j, "brake"));
    s->held = brake && (strcmp(brake, brake_state_names[BRAKE_HELD]) == 0 ||
                        strcmp(brake, brake_state_names[BRAKE_PROBING]) == 0);
    s->origins = member(j, "origin_waiting") > 0;
    s->stuck = json_is_string(json_object_get(j, "stalled"));
    cause = json_string_value(json_object_get(j, "brake_cause"));
    s->held_until_ms = s->held ? (uint64_t)member(j, "brake_until") : 0;
    snprintf(s->held_why, sizeof(s->held_why), "%s", s->held && cause ? cause : "");
    s->refused = s->held && cause && strcmp(cause, brake_cause_names[BRAKE_TOKEN]) == 0;
    json_decref(j);
}

/* If the age was not read from Redis, the last known age plus the time since then. */
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
    struct overview_cache_account s = {.known = true,
                                       .overview.consumers = e->now.overview.consumers,
                                       .overview.history = e->now.overview.history};

    for (size_t i = 0; i < LANE_N; i++)
        s.overview.lanes[i] =
            (struct overview_lane){.jobs = number(r, i), .oldest_ms = oldest_ms(e, r, i)};
    memcpy(s.overview.reads, e->now.overview.reads, sizeof(s.overview.reads));
    s.overview.later = number(r, 6);
    s.overview.later_next_ms = number(r, 7);
    s.overview.dead = number(r, 8);
    s.overview.leader = number(r, 9) == 1 ? (char *)"" : NULL;
    s.overview.paused = number(r, 10) == 1;
    overview_take_status(&s.overview, reply_text(reply_at(r, 11)));
    take_report(&s, reply_text(reply_at(r, 11)));
    e->redis_ms = number(r, 12);
    e->now = s;
    e->read_ns = clock_mono_ns();
}

struct question {
    struct entry *entry;
    bool refreshes; /* an asker may wait for it */
};

static void finish(struct overview_cache *s, bool ok)
{
    struct list told, *node;

    s->ok = s->ok && ok;
    if (--s->open)
        return;
    list_init(&told);
    list_splice_back(&told, &s->askers);
    while ((node = list_pop_front(&told))) {
        struct asker *a = list_entry(node, struct asker, link);

        a->done(a->ctx, s->ok);
        free(a);
    }
}

static void on_look(void *ctx, struct redisReply *reply)
{
    struct question *q = ctx;
    bool ok = reply && !reply_refused(reply) && reply_count(reply) == LOOK_ANSWERS;

    q->entry->asked = false;
    q->entry->now.unreadable =
        reply && reply_refused(reply) && overview_is_unreadable(reply_text(reply).p);
    if (ok)
        take(q->entry, reply);
    ok = ok || q->entry->now.unreadable; /* that is an answer, and says nothing of other accounts */
    if (q->refreshes)
        finish(q->entry->overviews, ok);
    free(q);
}

/* -- consumers, reads and the history: for those who wait only, because estimates do not need
 * them -- */

/* A refusal is no failure: permissions may be those of an earlier version. */
static void on_consumers(void *ctx, struct redisReply *reply)
{
    struct entry *e = ctx;

    if (reply && !reply_refused(reply)) {
        consumer_states_deinit(&e->now.overview.consumers);
        consumer_states_take(reply, e->redis_ms, &e->now.overview.consumers);
    }
    finish(e->overviews, reply != NULL);
}

static void ask_consumers(struct entry *e)
{
    char *key = redis_key(e->account, "consumers");

    redis_ask(e->overviews->redis_of(e->overviews->ctx, e->account), 2,
              (const struct span[]){SPAN("HGETALL"), span_str(key)}, on_consumers, e);
    free(key);
}

static void on_reads(void *ctx, struct redisReply *reply)
{
    struct entry *e = ctx;

    if (reply && !reply_refused(reply) && read_ledger_answer(reply, e->now.overview.reads) < 0)
        reply = NULL;
    finish(e->overviews, reply != NULL);
}

static void ask_reads(struct entry *e)
{
    struct read_ledger_question q;

    read_ledger_question(&q, e->account);
    redis_ask(e->overviews->redis_of(e->overviews->ctx, e->account), array_len(q.words), q.words,
              on_reads, e);
    read_ledger_question_deinit(&q);
}

static void on_reach(void *ctx, struct redisReply *reply)
{
    struct entry *e = ctx;

    e->now.overview.history = history_reach_answer(reply);
    finish(e->overviews, reply != NULL);
}

static void ask_reach(struct entry *e)
{
    struct history_reach_question q;

    history_reach_question(&q, e->account);
    redis_ask(e->overviews->redis_of(e->overviews->ctx, e->account), array_len(q.words), q.words,
              on_reach, e);
    history_reach_question_deinit(&q);
}

enum purpose {
    FOR_LATER, /* nobody waits for the reply */
    TO_REFRESH,
};

static struct redis *redis_of(const struct entry *e)
{
    return e->overviews->redis_of(e->overviews->ctx, e->account);
}

static void ask(struct entry *e, enum purpose purpose)
{
    static const char *const what[] = {"jobs:urgent", "jobs:normal", "jobs:bulk",
                                       "postponed",   "dead",        "lease",
                                       "control",     "status",      "later"};
    struct question *q = alloc_zeroed(1, sizeof(*q));
    char *keys[array_len(what)];
    struct span argv[3 + array_len(what)] = {SPAN("EVAL"), span_str(scripts[SCRIPT_OVERVIEW].text),
                                             SPAN("9")};

    q->entry = e;
    q->refreshes = purpose == TO_REFRESH;
    e->asked = true;
    for (size_t i = 0; i < array_len(what); i++) {
        keys[i] = redis_key(e->account, what[i]);
        argv[3 + i] = span_str(keys[i]);
    }
    redis_ask(redis_of(e), array_len(argv), argv, on_look, q);
    for (size_t i = 0; i < array_len(what); i++)
        free(keys[i]);
}

/* Without a leader the state is the worst possible and may change soon, so it is always stale. */
static bool is_stale(const struct entry *e, uint64_t now_ns)
{
    uint64_t fresh_ns = e->now.overview.leader ? ESTIMATE_FRESH_NS : LEADERLESS_FRESH_NS;

    return e->read_ns == NEVER || now_ns > e->read_ns + fresh_ns;
}

static struct entry *entry_of(struct overview_cache *s, const struct config_account *a)
{
    uint32_t i = 0;

    while (i < s->count && strcmp(s->entries[i].account, a->name) != 0)
        i++;
    must(i < s->count); /* every configuration has the same accounts */
    return &s->entries[i];
}

const struct overview_cache_account *
overview_cache_of(struct overview_cache *s, const struct config_account *a, uint64_t now_ns)
{
    struct entry *e = entry_of(s, a);

    if (!e->asked && is_stale(e, now_ns) && redis_is_up(redis_of(e)))
        ask(e, FOR_LATER);
    return &e->now;
}

const struct overview_cache_account *overview_cache_last_of(struct overview_cache *s,
                                                            const struct config_account *a)
{
    return &entry_of(s, a)->now;
}

void overview_cache_refresh(struct overview_cache *s, overview_cache_cb *done, void *ctx)
{
    uint64_t now_ns = clock_mono_ns();
    struct asker *a;

    for (uint32_t i = 0; i < s->count; i++) {
        if (redis_is_up(redis_of(&s->entries[i])))
            continue;
        done(ctx, false);
        return;
    }
    if (s->open == 0 && s->asked_ns != NEVER && now_ns - s->asked_ns < FRESH_NS) {
        done(ctx, s->ok);
        return;
    }
    a = alloc_zeroed(1, sizeof(*a));
    a->done = done;
    a->ctx = ctx;
    list_push_back(&s->askers, &a->link);
    if (s->open)
        return;
    s->open = 4 * s->count;
    s->ok = true;
    s->asked_ns = now_ns;
    for (uint32_t i = 0; i < s->count; i++) {
        ask(&s->entries[i], TO_REFRESH);
        ask_consumers(&s->entries[i]); /* is answered after it, so that it knows the time */
        ask_reads(&s->entries[i]);
        ask_reach(&s->entries[i]);
    }
}

/* -- estimating -- */

/* The burst makes the pace slower until it has left the window; then the pace is that of the whole
 * budget. */
static double paced_ms(const struct overview_cache_account *s, const struct config_budget *b,
                       double before, double at_once)
{
    double window_ms = b->per_s * 1000.0, whole_pace = (double)b->purges / window_ms;
    double pace = (s->pace_per_ms > 0 ? s->pace_per_ms : whole_pace) - at_once / window_ms;
    double in_window;

    if (pace < whole_pace / 10)
        pace = whole_pace / 10;
    in_window = at_once + pace * window_ms;
    if (before <= in_window)
        return (before - at_once) / pace;
    return window_ms + (before - in_window) / whole_pace;
}

uint64_t overview_cache_eta_ms(const struct overview_cache_account *s,
                               const struct config_account *a, enum lane lane, uint64_t cost)
{
    double before = (double)cost, linger = config_lane(a, lane)->linger_ms;

    if (!s->known || s->unreadable || !s->overview.leader || s->overview.paused || s->held ||
        s->stuck)
        return UINT64_MAX;
    for (int i = 0; i <= (int)lane; i++)
        before += (double)s->overview.lanes[i].jobs * s->targets_per_job;
    if (a->budget.batch_cost == BATCH_COST_REQUEST)
        before /= FASTLY_BATCH_MAX_KEYS;
    if (before <= s->at_once[lane])
        return (uint64_t)linger + HANDLING_MS;
    return whole(paced_ms(s, &a->budget, before, s->at_once[lane]) + linger) + HANDLING_MS;
}

struct overview_cache_account overview_cache_from(const struct overview *o)
{
    struct overview_cache_account s = {.known = true, .overview = *o};

    take_report(&s, span_str(o->status));
    return s;
}

uint64_t overview_cache_backlog_ms(const struct overview *o, const struct config_account *a)
{
    struct overview_cache_account s = overview_cache_from(o);

    return overview_cache_eta_ms(&s, a, LANE_BULK, 0);
}
