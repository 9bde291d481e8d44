/* SPDX-License-Identifier: MIT */
#include "job_leader.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "json_text.h"

static void set_count(json_t *to, const char *name, uint64_t n)
{
    json_object_set_new(to, name, json_integer((json_int_t)n));
}

/* Capped counts say so. */
static void set_capped(json_t *to, const char *name, const char *capped, uint32_t n, bool more)
{
    set_count(to, name, n);
    if (more)
        json_object_set_new(to, capped, json_true());
}

static void set_known_ms(json_t *to, const char *name, uint64_t ms)
{
    if (ms)
        set_count(to, name, ms);
}

/* -- targets -- */

static void add_target_name(json_t *to, const struct job_leader *l, const struct job_target *t)
{
    const struct config_service *s;

    json_object_set_new(to, "kind", json_text_of(target_kind_names[t->kind]));
    if (t->kind != TARGET_ALL)
        json_object_set_new(
            to, "target",
            json_text(t->kind == TARGET_URL ? url_without_query(t->bytes) : t->bytes));
    if (t->service == SERVICE_NONE)
        return;
    s = &l->account->services[t->service];
    json_object_set_new(to, "service", json_text_of(*s->name ? s->name : s->id));
}

/* Reasons of answers begin with the status, like "503: first byte timeout". */
static const char *past_status(const struct job_view_target *t)
{
    char status[16];
    size_t n = (size_t)snprintf(status, sizeof(status), "%d", t->status);
    const char *rest = t->reason + n;

    if (t->status == 0 || strncmp(t->reason, status, n) != 0)
        return t->reason;
    return *rest == '\0' ? rest : strncmp(rest, ": ", 2) == 0 ? rest + 2 : t->reason;
}

static void add_answer(json_t *to, const struct job_view_target *t)
{
    const char *reason = past_status(t);

    if (t->status)
        set_count(to, "status", (uint64_t)t->status);
    else if (!*reason)
        reason = "there was no answer";
    if (*reason)
        json_object_set_new(to, "reason", json_text_of(reason));
}

static json_t *target_json(const struct job_leader *l, const struct job_view_target *t)
{
    json_t *j = json_object();

    add_target_name(j, l, &l->targets[t->number]);
    json_object_set_new(j, "state", json_text_of(job_view_state_names[t->state]));
    if (t->state == JOB_VIEW_UNKNOWN)
        return j;
    json_object_set_new(j, "lane", json_text_of(lane_names[t->lane]));
    set_capped(j, "jobs", "jobs_capped", t->others, t->others_more);
    if (t->tries)
        set_count(j, "tries", t->tries);
    if (t->state == JOB_VIEW_WAITING) {
        json_object_set_new(j, "why", json_text_of(job_view_why_names[t->why]));
        set_known_ms(j, "until", t->until_ms);
        set_capped(j, "before", "before_capped", t->before, t->before_more);
    } else if (t->state == JOB_VIEW_RETRY) {
        add_answer(j, t);
    }
    set_known_ms(j, "at", t->at_ms);
    return j;
}

static void add_targets(json_t *to, const struct job_leader *l)
{
    const struct job_view *v = l->view;
    json_t *shown = json_array();
    uint32_t open = v->targets - v->counts[JOB_VIEW_DONE];

    set_count(to, "targets", v->targets);
    for (int i = 0; i < JOB_VIEW_STATE_N; i++)
        set_count(to, job_view_state_names[i], v->counts[i]);
    set_count(to, "shared", v->shared);
    for (uint32_t i = 0; i < v->shown_count; i++)
        json_array_append_new(shown, target_json(l, &v->shown[i]));
    json_object_set_new(to, "shown", shown);
    set_count(to, "more", open - v->shown_count);
}

json_t *job_leader_json(const struct job_leader *l)
{
    const struct job_view *v = l->view;
    json_t *j = json_pack("{sb}", "here", v->role != JOB_VIEW_ELSEWHERE);

    if (v->role == JOB_VIEW_ELSEWHERE && l->admin && *v->leader)
        json_object_set_new(j, "instance", json_text_of(v->leader));
    if (v->role == JOB_VIEW_SOON)
        json_object_set_new(j, "soon", json_true());
    if (v->role != JOB_VIEW_HERE || !l->targets)
        return j;
    json_object_set_new(j, "found", json_boolean(v->found || v->held));
    if (v->unread)
        json_object_set_new(j, "unread", json_true());
    if (v->found)
        add_targets(j, l);
    return j;
}

/* -- steps -- */

static json_t *step_of(const char *name, uint32_t targets)
{
    return json_pack("{sosI}", "step", json_text_of(name), "targets", (json_int_t)targets);
}

static const struct job_view_target *first_of(const struct job_view *v, enum job_view_state state)
{
    for (uint32_t i = 0; i < v->shown_count; i++)
        if (v->shown[i].state == state)
            return &v->shown[i];
    return NULL;
}

void job_leader_add_merged(json_t *steps, const struct job_leader *l)
{
    const struct job_view *v = l->view;
    const struct job_view_target *most = NULL;
    json_t *step;

    if (!v->found || v->shared == 0)
        return;
    for (uint32_t i = 0; i < v->shown_count; i++)
        if (!most || v->shown[i].others > most->others)
            most = &v->shown[i];
    step = step_of("merged", v->shared);
    if (most && most->others)
        set_capped(step, "jobs", "jobs_capped", most->others, most->others_more);
    json_array_append_new(steps, step);
}

static void add_sent(json_t *steps, const struct job_view *v, enum job_view_state state)
{
    const struct job_view_target *first = first_of(v, state);
    json_t *step;

    if (v->counts[state] == 0)
        return;
    step = step_of(job_view_state_names[state], v->counts[state]);
    if (first)
        set_known_ms(step, "at", first->at_ms);
    json_array_append_new(steps, step);
}

static void add_retry(json_t *steps, const struct job_view *v)
{
    const struct job_view_target *t = first_of(v, JOB_VIEW_RETRY);
    json_t *step;

    if (!t)
        return;
    step = step_of("judged", v->counts[JOB_VIEW_RETRY]);
    add_answer(step, t);
    set_count(step, "tries", t->tries);
    json_array_append_new(steps, step);
    if (!t->at_ms)
        return;
    step = step_of("next_try", v->counts[JOB_VIEW_RETRY]);
    set_count(step, "at", t->at_ms);
    json_array_append_new(steps, step);
}

void job_leader_add_progress(json_t *steps, const struct job_leader *l)
{
    const struct job_view *v = l->view;

    if (v->unread)
        json_array_append_new(steps, json_pack("{so}", "step", json_text_of("unread")));
    if (!v->found)
        return;
    add_sent(steps, v, JOB_VIEW_SENT);
    add_retry(steps, v);
    add_sent(steps, v, JOB_VIEW_CHECKED);
}

bool job_leader_before(const struct job_leader *l, uint32_t *before, bool *more)
{
    const struct job_view *v = l->view;

    *before = 0;
    *more = false;
    for (uint32_t i = 0; i < v->shown_count; i++) {
        const struct job_view_target *t = &v->shown[i];

        if (t->state != JOB_VIEW_WAITING)
            continue;
        *before = t->before > *before ? t->before : *before;
        *more |= t->before_more;
    }
    return first_of(v, JOB_VIEW_WAITING) != NULL;
}

uint64_t job_leader_budget_ms(const struct job_leader *l)
{
    const struct job_view *v = l->view;
    uint64_t until_ms = 0;

    for (uint32_t i = 0; i < v->shown_count; i++)
        if (v->shown[i].state == JOB_VIEW_WAITING && v->shown[i].why == JOB_VIEW_BUDGET)
            until_ms = max_u64(until_ms, v->shown[i].until_ms);
    return until_ms;
}
