/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <jansson.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "replicated.h"
#include "scripts.h"

#define SNAPSHOT_ANSWERS 18 /* number of values that snapshot.lua returns */

/* A question in three parts, one after the other: what was read of Fastly's API, how far back the
 * history reaches, then the rest. */
struct snapping {
    snapshot_cb *cb;
    void *ctx;
    struct overview_budget limits[LEDGER_N];
    struct redis *redis;
    char *account;
    struct read_use reads[READ_N];
    struct history_reach history;
};

static uint64_t at_least_0(const struct redisReply *r)
{
    int64_t n = reply_number(r);

    return n < 0 ? 0 : (uint64_t)n;
}

static char *text_or_null(const struct redisReply *r)
{
    struct span s = reply_text(r);

    return reply_nil(r) || s.n == 0 ? NULL : alloc_copy(s.p, s.n);
}

static void take_control(const struct redisReply *r, uint64_t now_ms, struct overview *o)
{
    o->paused = reply_number(reply_at(r, 0)) == 1;
    o->paused_why = text_or_null(reply_at(r, 1));
    o->paused_by = text_or_null(reply_at(r, 2));
    if (o->paused)
        o->paused_ms = minus_u64(now_ms, at_least_0(reply_at(r, 3)));
}

static void take_budgets(const struct redisReply *open, struct overview *o)
{
    static const char *const names[LEDGER_N] = {[LEDGER_PURGE] = "budget_left",
                                                [LEDGER_URL] = "url_budget_left",
                                                [LEDGER_WRITE] = "write_budget_left"};
    json_t *report = o->status ? json_loads(o->status, 0, NULL) : NULL;

    for (int i = 0; i < LEDGER_N; i++) {
        struct overview_budget *b = &o->budget[i];
        const json_t *left = json_object_get(report, names[i]);

        b->known = !reply_nil(reply_at(open, (size_t)i));
        b->open = at_least_0(reply_at(open, (size_t)i));
        b->unread = !json_is_integer(left) || json_integer_value(left) < 0;
        if (b->unread)
            continue;
        b->left = (uint64_t)json_integer_value(left);
        b->spent = minus_u64(b->units, b->headroom + b->open + b->left);
    }
    json_decref(report);
}

static void take_letter(const struct redisReply *r, struct snapshot *g)
{
    if (reply_count(r) < 5)
        return;
    g->dead_id = reply_text(reply_at(r, 0));
    g->dead_reason = reply_text(reply_at(r, 1));
    g->dead_job = reply_text(reply_at(r, 2));
    g->dead_at_ms = at_least_0(reply_at(r, 3));
    g->dead_target = reply_text(reply_at(r, 4));
}

static void take_snapshot(const struct redisReply *r, struct snapshot *g)
{
    struct overview *o = &g->overview;

    g->now_ms = at_least_0(reply_at(r, 13));
    for (size_t i = 0; i < LANE_N; i++)
        o->lanes[i] = (struct overview_lane){.jobs = at_least_0(reply_at(r, i)),
                                             .oldest_ms = at_least_0(reply_at(r, 3 + i))};
    o->later = at_least_0(reply_at(r, 6));
    o->later_next_ms = at_least_0(reply_at(r, 7));
    o->dead = at_least_0(reply_at(r, 8));
    o->leader = text_or_null(reply_at(r, 9));
    take_control(reply_at(r, 11), g->now_ms, o);
    o->status = text_or_null(reply_at(r, 12));
    overview_take_status(o, o->status ? span_str(o->status) : SPAN(""));
    overview_take_stalled(o, o->leader && reply_number(reply_at(r, 10)) == -1);
    overview_take_instances(o, reply_at(r, 14), g->now_ms);
    take_budgets(reply_at(r, 15), o);
    consumer_states_take(reply_at(r, 16), g->now_ms, &o->consumers);
    take_letter(reply_at(r, 17), g);
}

static void end_snapping(struct snapping *q, struct snapshot *g)
{
    q->cb(q->ctx, g);
    free(q->account);
    free(q);
}

static void on_snapshot(void *ctx, struct redisReply *reply)
{
    struct snapping *q = ctx;
    struct snapshot g = {.dead_id = span_of(NULL, 0)};

    if (reply && reply_refused(reply) && overview_is_unreadable(reply_text(reply).p)) {
        g.overview.unreadable = alloc_str(reply_text(reply).p);
        end_snapping(q, &g);
        overview_deinit(&g.overview);
        return;
    }
    if (!reply || reply_refused(reply) || reply_count(reply) != SNAPSHOT_ANSWERS) {
        end_snapping(q, NULL);
        return;
    }
    memcpy(g.overview.budget, q->limits, sizeof(q->limits));
    memcpy(g.overview.reads, q->reads, sizeof(q->reads));
    g.overview.history = q->history;
    take_snapshot(reply, &g);
    end_snapping(q, &g);
    overview_deinit(&g.overview);
}

static void ask_state(struct snapping *q)
{
    static const char *const what[] = {"jobs:urgent", "jobs:normal", "jobs:bulk", "postponed",
                                       "dead",        "lease",       "control",   "status",
                                       "later",       "instances",   "budget",    "consumers"};
    char *keys[array_len(what)];
    struct span argv[3 + array_len(what)] = {SPAN("EVAL"), span_str(scripts[SCRIPT_SNAPSHOT].text),
                                             SPAN("12")};

    for (size_t i = 0; i < array_len(what); i++) {
        keys[i] = redis_key(q->account, what[i]);
        argv[3 + i] = span_str(keys[i]);
    }
    redis_ask(q->redis, array_len(argv), argv, on_snapshot, q);
    for (size_t i = 0; i < array_len(what); i++)
        free(keys[i]);
}

static void on_snapshot_history(void *ctx, struct redisReply *reply)
{
    struct snapping *q = ctx;

    if (!reply) {
        end_snapping(q, NULL);
        return;
    }
    q->history = history_reach_answer(reply);
    ask_state(q);
}

static void ask_for_reach(struct snapping *q)
{
    struct history_reach_question reach;

    history_reach_question(&reach, q->account);
    redis_ask(q->redis, array_len(reach.words), reach.words, on_snapshot_history, q);
    history_reach_question_deinit(&reach);
}

/* A refusal is no failure: permissions may be those of an earlier version. */
static void on_snapshot_reads(void *ctx, struct redisReply *reply)
{
    struct snapping *q = ctx;

    if (!reply) {
        end_snapping(q, NULL);
        return;
    }
    if (!reply_refused(reply) && read_ledger_answer(reply, q->reads) < 0)
        memset(q->reads, 0, sizeof(q->reads));
    ask_for_reach(q);
}

void snapshot_ask(struct redis *r, const struct config_account *a, snapshot_cb *cb, void *ctx)
{
    struct snapping *q = alloc_zeroed(1, sizeof(*q));
    struct read_ledger_question reads;

    *q = (struct snapping){.cb = cb, .ctx = ctx, .redis = r, .account = alloc_str(a->name)};
    for (int i = 0; i < LEDGER_N; i++)
        overview_take_limits(a, (enum ledger_kind)i, &q->limits[i]);
    read_ledger_question(&reads, a->name);
    redis_ask(r, array_len(reads.words), reads.words, on_snapshot_reads, q);
    read_ledger_question_deinit(&reads);
}
