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

    json_object_set_new(step, "lane", json_text_of(lane_names[t->place->lane]));
    if (t->state->known)
        set_ms(step, "jobs", t->state->overview.lanes[t->place->lane].jobs);
    json_array_append_new(steps, step);
}

/* What keeps all jobs of the account. */
static void add_obstacles(json_t *steps, const struct job_timeline *t)
{
    const struct overview_cache_account *s = t->state;
    json_t *step;

    if (!s->known)
        return;
    if (!s->overview.leader)
        json_array_append_new(steps, step_json("nobody_leads"));
    if (s->overview.paused)
        json_array_append_new(steps, step_json("paused"));
    if (s->stuck)
        json_array_append_new(steps, step_json("stuck"));
    if (!s->held)
        return;
    step = step_json("held");
    if (s->held_until_ms)
        set_ms(step, "until", s->held_until_ms);
    json_object_set_new(step, "why", json_text_of(s->held_why));
    json_array_append_new(steps, step);
}

static void add_origin(json_t *steps, const struct job_timeline *t)
{
    json_t *step;

    if (!t->origin.n)
        return;
    step = step_json("origin");
    json_object_set_new(step, "url", json_text(t->origin));
    json_array_append_new(steps, step);
}

/* As if it were the last of its lane. */
static void add_budget(json_t *steps, const struct job_timeline *t)
{
    uint64_t eta_ms = overview_cache_eta_ms(t->state, t->account, t->place->lane, 1);
    json_t *step;

    if (eta_ms == UINT64_MAX)
        return;
    step = step_json("budget");
    set_ms(step, "until", t->now_ms + eta_ms);
    json_array_append_new(steps, step);
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
    add_obstacles(steps, t);
    add_origin(steps, t);
    if (!t->origin.n)
        add_budget(steps, t);
    return steps;
}

json_t *job_timeline_ended(const char *job, const json_t *receipt)
{
    json_t *steps = json_array(), *step = step_json("ended");
    static const char *const members[] = {"at", "state", "reason"};

    add_accepted(steps, job);
    for (size_t i = 0; i < array_len(members); i++)
        if (json_object_get(receipt, members[i]))
            json_object_set(step, members[i], json_object_get(receipt, members[i]));
    json_array_append_new(steps, step);
    return steps;
}
