/* SPDX-License-Identifier: MIT */
#include "job_timeline.h"

#include <jansson.h>
#include <string.h>

#include "json_text.h"

static json_t *step_json(const char *name)
{
    return json_pack("{so}", "step", json_text_of(name));
}

static void set_ms(json_t *step, const char *name, uint64_t ms)
{
    json_object_set_new(step, name, json_integer((json_int_t)ms));
}

/* A job id has the time in it when Redis has accepted the job: "normal-1700000000000-0". That of a
 * repeat ("…+r") is of the job that it repeats. */
static void add_accepted(json_t *steps, const char *job)
{
    struct span rest = span_str(job), word, ms;
    json_t *step;
    uint64_t at;

    if (!span_next_word(&rest, '-', &word) || !span_next_word(&rest, '-', &ms) ||
        span_to_u64(ms, &at) < 0)
        return;
    step = step_json("accepted");
    set_ms(step, "at", at);
    json_array_append_new(steps, step);
}

static void add_postponed(json_t *steps, const struct job_timeline *t)
{
    json_t *step = step_json("postponed");
    bool repeat = strstr(t->job, "+r") != NULL;

    if (t->due_ms)
        set_ms(step, "until", t->due_ms);
    json_object_set_new(step, "why", json_text_of(repeat ? "repeat" : "not_before"));
    json_array_append_new(steps, step);
}

static void add_lane(json_t *steps, const struct job_timeline *t)
{
    json_t *step = step_json("lane");
    uint32_t before;
    bool more;

    json_object_set_new(step, "lane", json_text_of(lane_names[t->place->lane]));
    if (t->state->known)
        set_ms(step, "jobs", t->state->overview.lanes[t->place->lane].jobs);
    if (t->leader && job_leader_before(t->leader, &before, &more)) {
        set_ms(step, "before", before);
        if (more)
            json_object_set_new(step, "before_capped", json_true());
    }
    json_array_append_new(steps, step);
}

static void add_pause(json_t *steps, const char *why)
{
    json_t *step = step_json("paused");

    if (*why)
        json_object_set_new(step, "why", json_text_of(why));
    json_array_append_new(steps, step);
}

static void add_hold(json_t *steps, uint64_t until_ms, const char *why, const char *reason)
{
    json_t *step = step_json("held");

    if (until_ms)
        set_ms(step, "until", until_ms);
    json_object_set_new(step, "why", json_text_of(why));
    if (*reason)
        json_object_set_new(step, "reason", json_text_of(reason));
    json_array_append_new(steps, step);
}

/* What keeps all jobs of the account. The leader's memory knows it a second before Redis. */
static void add_obstacles(json_t *steps, const struct job_timeline *t)
{
    const struct overview_cache_account *s = t->state;
    const struct job_view *v = t->leader ? t->leader->view : NULL;

    if (s->known && !v && !s->overview.leader)
        json_array_append_new(steps, step_json("nobody_leads"));
    if (v ? v->paused : s->known && s->overview.paused)
        add_pause(steps, v && t->leader->admin ? v->paused_why : "");
    if (s->known && s->stuck)
        json_array_append_new(steps, step_json("stuck"));
    if (v && v->held_why)
        add_hold(steps, v->held_until_ms, v->held_why, t->leader->admin ? v->held_reason : "");
    else if (s->known && s->held)
        add_hold(steps, s->held_until_ms, s->held_why, "");
}

/* What the origin said last, when it is asked again, and when the job is given up. */
static void add_question(json_t *step, const struct job_view *v)
{
    const struct origin_view *o = &v->origin;

    if (*o->seen)
        json_object_set_new(step, "seen", json_text_of(o->seen));
    if (v->origin_next_ms)
        set_ms(step, "at", v->origin_next_ms);
    if (o->until_ms != NEVER)
        set_ms(step, "until", o->until_ms);
}

static void add_origin(json_t *steps, const struct job_timeline *t)
{
    json_t *step;

    if (!t->origin.n)
        return;
    step = step_json("origin");
    json_object_set_new(step, "url", json_text(t->origin));
    if (t->leader && t->leader->view->held)
        add_question(step, t->leader->view);
    json_array_append_new(steps, step);
}

/* When the job is sent at the latest, if nothing more urgent comes; 0: not known. From Redis it is
 * known only as if the job were the last of its lane. */
static uint64_t budget_ms(const struct job_timeline *t)
{
    const struct job_view *v = t->leader ? t->leader->view : NULL;
    uint64_t ms = v ? job_leader_budget_ms(t->leader) : 0, eta_ms;

    if (ms || (v && (v->paused || v->held_why || (v->found && !v->counts[JOB_VIEW_WAITING]))))
        return ms;
    eta_ms = overview_cache_eta_ms(t->state, t->account, t->place->lane, 1);
    return eta_ms == UINT64_MAX ? 0 : t->now_ms + eta_ms;
}

static void add_budget(json_t *steps, const struct job_timeline *t)
{
    uint64_t until_ms = budget_ms(t);
    json_t *step;

    if (!until_ms)
        return;
    step = step_json("budget");
    set_ms(step, "until", until_ms);
    json_array_append_new(steps, step);
}

/* The job asked its origin, which has shown what it waited for. */
static bool is_past_origin(const struct job_timeline *t)
{
    return t->leader && t->leader->view->found;
}

json_t *job_timeline_waiting(const struct job_timeline *t)
{
    json_t *steps = json_array();

    add_accepted(steps, t->job);
    if (t->place->postponed) {
        add_postponed(steps, t);
        return steps;
    }
    add_lane(steps, t);
    if (t->leader)
        job_leader_add_merged(steps, t->leader);
    add_obstacles(steps, t);
    if (!is_past_origin(t))
        add_origin(steps, t);
    if (!t->origin.n || is_past_origin(t))
        add_budget(steps, t);
    if (t->leader)
        job_leader_add_progress(steps, t->leader);
    return steps;
}

json_t *job_timeline_ended(const char *job, const json_t *receipt)
{
    json_t *steps = json_array(), *step = step_json("ended");
    static const char *const members[] = {"at", "state", "reason", "purge_id"};

    add_accepted(steps, job);
    for (size_t i = 0; i < array_len(members); i++)
        if (json_object_get(receipt, members[i]))
            json_object_set(step, members[i], json_object_get(receipt, members[i]));
    json_array_append_new(steps, step);
    return steps;
}
