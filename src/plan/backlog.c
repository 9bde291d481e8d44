/* SPDX-License-Identifier: MIT */
#include "backlog.h"

#include <errno.h>

#include "peek.h"

/* -- the budget ------------------------------------------------------------------------------ */

static void on_spent(void *ctx, enum ledger_kind l, uint64_t cost, uint64_t age_ms)
{
    plan_spent(ctx, l, cost, age_ms);
}

static void on_level(void *ctx, enum ledger_kind l, uint64_t level_micro, uint64_t age_ms)
{
    plan_level(ctx, l, level_micro, age_ms);
}

static void on_learnt(void *ctx, enum ledger_kind l, uint64_t burst, uint64_t age_ms)
{
    plan_learnt(ctx, l, burst, age_ms);
}

int backlog_read_budget(struct client *c, const struct config_account *a, struct plan *p)
{
    static const struct peek_budget_sink sink = {on_spent, on_level, on_learnt};

    return peek_budget(c, a, &sink, p);
}

/* -- the jobs -------------------------------------------------------------------------------- */

struct backlog_read {
    struct peek *peek;
    struct plan *plan;
    struct backlog_counts *counts;
    uint64_t jobs;
};

static void count_refused(struct backlog_read *g, enum lane lane, struct span id, const char *why)
{
    if (g->counts->refused++ == 0)
        error_set(&g->counts->why, -EINVAL, "%s-%.*s: %s", lane_names[lane], (int)id.n, id.p, why);
}

static void on_peeked_entry(void *ctx, enum lane lane, struct span id, const struct span *fields,
                            size_t fields_count)
{
    struct backlog_read *g = ctx;
    struct error why;

    g->jobs++;
    if (plan_take(g->plan, lane, fields, fields_count, &why) < 0)
        count_refused(g, lane, id, why.text);
}

/* The most urgent lane that has unread entries and room for its next page. If no lane has both, the
 * most urgent lane that has unread entries; LANE_N if there is none. */
static int choose_lane(const struct backlog_read *g)
{
    int first = LANE_N;

    for (int lane = LANE_N - 1; lane >= 0; lane--)
        if (peek_more(g->peek, (enum lane)lane))
            first = lane;
    for (int lane = 0; lane < LANE_N; lane++)
        if (peek_more(g->peek, (enum lane)lane) &&
            plan_room(g->plan, (enum lane)lane) >= peek_page_entries(g->peek, (enum lane)lane))
            return lane;
    return first;
}

int backlog_read_jobs(struct client *c, const struct config_account *a, struct plan *p,
                      struct backlog_counts *counts, backlog_progress_cb *progress, void *ctx)
{
    struct backlog_read g = {.peek = peek_new(c, a->name), .plan = p, .counts = counts};
    int lane, rc = 0;

    *counts = (struct backlog_counts){0};
    while (rc == 0 && (lane = choose_lane(&g)) < LANE_N) {
        plan_make_room(p, (enum lane)lane, peek_page_entries(g.peek, (enum lane)lane));
        rc = peek_page(g.peek, (enum lane)lane, on_peeked_entry, &g);
        if (rc == 0 && !progress(ctx, g.jobs))
            rc = -ECANCELED;
    }
    peek_free(g.peek);
    return rc;
}
