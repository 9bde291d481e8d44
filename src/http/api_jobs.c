/* SPDX-License-Identifier: MIT
 * GET and DELETE /v1/jobs/{job}: shows the state of a job, and cancels it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "history_line.h"
#include "http_internal.h"
#include "job_leader.h"
#include "job_timeline.h"
#include "jobplace.h"
#include "json_text.h"
#include "origin.h"
#include "overview_cache.h"
#include "when.h"

#define TRIES_MAX 5 /* to find a job that is being moved */

struct subject {
    const struct config_account *account;
    enum lane lane; /* that it was pushed to */
    char job[JOB_ID_ROOM];
    struct jobplace place;
    uint64_t due_ms; /* of a postponed job; 0: not known */
    uint32_t targets;
    char *ref, *by; /* NULL: none */
    uint32_t tries;
    char *origin; /* that it asks before it is sent, without the query; NULL: none, or not known */
    struct job_view_ask ask; /* of the dispatch loop, about a job that waits */
    void *names;             /* the memory of its targets */
};

static void end_subject(struct request *e)
{
    struct subject *s = e->state;

    free(s->ref);
    free(s->origin);
    free(s->names);
    free(s->by);
    free(s);
}

static struct redis *redis_of(const struct request *e)
{
    const struct subject *s = e->state;

    return submit_redis(e->in->submit, s->account->name);
}

static struct replicated *replicated_of(const struct request *e)
{
    const struct subject *s = e->state;

    return submit_replicated(e->in->submit, s->account->name);
}

/* Counts against the rate limit, because looking up a job costs Redis as much as a push. */
static bool in_pace(struct request *e)
{
    uint64_t retry_ms = e->who->admin ? 0 : auth_take(e->in->auth, e->who, 1, clock_mono_ns());
    char why[64];

    if (retry_ms == 0)
        return true;
    snprintf(why, sizeof(why), "more than %u jobs a minute", e->who->jobs_per_minute);
    request_refuse_later(e, 429, retry_ms, why);
    return false;
}

#define NOT_THERE "job: not there; it never was, or its receipt has expired"

static struct subject *subject_of(struct request *e)
{
    const struct config_account *a = request_account(e, request_query(e, "account"));
    enum job_id_form form;
    const char *fault;
    struct subject *s;
    enum lane lane;

    if (!a)
        return NULL;
    form = job_id_form(e->parts[0], &lane);
    if (form == JOB_ID_NONE) {
        request_refuse(e, 400, "job: expected an id like normal-1700000000000-0");
        return NULL;
    }
    if (!in_pace(e))
        return NULL;
    if (form == JOB_ID_PADDED) {
        request_refuse(e, 404, NOT_THERE);
        return NULL;
    }
    fault = api_redis_fault(e, a);
    if (fault) {
        request_refuse(e, 503, fault);
        return NULL;
    }
    s = alloc_zeroed(1, sizeof(*s));
    s->account = a;
    s->lane = lane;
    snprintf(s->job, sizeof(s->job), "%.*s", (int)e->parts[0].n, e->parts[0].p);
    e->state = s;
    e->end = end_subject;
    return s;
}

/* -- lookup -- */

static void say_receipt(struct request *e, int status, struct span receipt)
{
    const struct subject *s = e->state;
    json_t *j = json_loadb(receipt.p, receipt.n, JSON_ALLOW_NUL, NULL);

    if (!json_is_object(j)) {
        json_decref(j);
        j = json_object();
    }
    if (!request_pushed(e->who, j) &&
        !request_may_see(e->who, s->account, s->lane, json_object_get(j, "scope"))) {
        json_object_del(j, "ref");
        json_object_del(j, "reason");
        json_object_del(j, "failed_services");
    }
    json_object_del(j, "scope");
    request_hide_pusher(e->who, j);
    if (status == 200)
        json_object_set_new(j, "timeline", job_timeline_ended(s->job, j));
    request_say_json(e, status, j);
}

/* Replies, unless the job is waiting. True if it has replied. */
static bool say_state(struct request *e, enum job_state state, struct span receipt)
{
    if (state == JOB_WAITING)
        return false;
    if (state == JOB_ENDED)
        say_receipt(e, 200, receipt);
    else if (state == JOB_UNKNOWN)
        request_refuse(e, 404, NOT_THERE);
    else if (state == JOB_UNSURE)
        request_refuse(e, 503,
                       "job: not found yet; what an older version postponed is still being moved. "
                       "Ask again in a while");
    else
        request_refuse(e, 503, "Redis is away");
    return true;
}

/* The URL that the job asks before it is sent, without its query; NULL: none. */
static char *origin_of(const struct config_account *a, const struct job_spec *spec)
{
    struct span url = SPAN("");

    if (spec->when)
        url = url_without_query(span_str(spec->when->url));
    else if (origin_is_gated(a, spec))
        url = url_without_query(span_str(a->purge_all_needs));
    return url.n ? alloc_copy(url.p, url.n) : NULL;
}

static void say_waiting(struct request *e, const struct job_view *view)
{
    const struct subject *s = e->state;
    json_t *j = json_pack("{soso}", "job", json_text_of(s->job), "state", json_text_of("waiting"));
    struct job_leader leader = {
        .view = view, .account = s->account, .targets = s->ask.targets, .admin = e->who->admin};
    bool here = view && view->role == JOB_VIEW_HERE;
    struct job_timeline t = {.job = s->job,
                             .account = s->account,
                             .place = &s->place,
                             .state = overview_cache_last_of(e->in->overviews, s->account),
                             .due_ms = s->due_ms,
                             .now_ms = clock_wall_ms(),
                             .origin = span_str(s->origin ? s->origin : ""),
                             .leader = here ? &leader : NULL};

    if (s->by)
        json_object_set_new(j, "by", json_text_of(s->by));
    if (s->origin)
        json_object_set_new(j, "origin", json_text_of(s->origin));
    json_object_set_new(j, "timeline", job_timeline_waiting(&t));
    if (view)
        json_object_set_new(j, "leader", job_leader_json(&leader));
    request_say_json(e, 200, j);
}

/* The memory that the targets need on their way to the dispatch loop. */
static uint64_t names_bytes(const struct job_spec *spec)
{
    uint64_t bytes = spec->targets_count * sizeof(*spec->targets);

    for (uint32_t i = 0; i < spec->targets_count; i++)
        bytes += spec->targets[i].bytes.n;
    return bytes;
}

static void copy_targets(struct subject *s, const struct job_spec *spec)
{
    struct job_target *to = s->names = alloc_bytes(names_bytes(spec));
    char *text = (char *)&to[spec->targets_count];

    s->ask.targets = to;
    s->ask.targets_count = spec->targets_count;
    for (uint32_t i = 0; i < spec->targets_count; i++) {
        struct span from = spec->targets[i].bytes;

        to[i] = spec->targets[i];
        to[i].bytes = span_of(text, from.n);
        if (from.n)
            memcpy(text, from.p, from.n);
        text += from.n;
    }
}

/* Reads what the producer may see of the job: only if it pushed it, or could have. False if the
 * request was refused. */
static bool take_fields(struct request *e, const struct span *fields, size_t count)
{
    struct subject *s = e->state;
    struct job_spec spec;
    struct error err;

    if (job_decode(&e->in->decoder, s->account, fields, count, &spec, &err) < 0)
        return true;
    spec.original = span_of(NULL, 0);
    if (spec.by.n && (e->who->admin || request_is_pusher(e->who, spec.by)))
        s->by = alloc_copy(spec.by.p, spec.by.n);
    if (!e->who->admin && !request_is_pusher(e->who, spec.by) &&
        auth_may_push(e->who, s->account, s->lane, &spec, &err) < 0)
        return true;
    s->origin = origin_of(s->account, &spec);
    if (!request_take(e, names_bytes(&spec)))
        return false;
    copy_targets(s, &spec);
    return true;
}

static void on_view(struct request *e, const struct job_view *v)
{
    say_waiting(e, v);
}

static void on_waiting_fields(void *ctx, enum jobplace_read what, const struct span *fields,
                              size_t count, struct span why)
{
    struct request *e = ctx;
    const struct subject *s = e->state;
    bool refused = what == JOBPLACE_READ && !take_fields(e, fields, count);

    (void)why;
    if (!refused && s->place.postponed)
        say_waiting(e, NULL);
    else if (!refused)
        http_server_ask_job(e, &s->ask, on_view);
    request_drop(e);
}

/* Its fields say who pushed it and what it asks. */
static void read_fields(struct request *e)
{
    const struct subject *s = e->state;

    jobplace_read(redis_of(e), s->account->name, s->job, &s->place, on_waiting_fields,
                  request_hold(e));
}

static void on_job_due(void *ctx, uint64_t due_ms)
{
    struct request *e = ctx;
    struct subject *s = e->state;

    s->due_ms = due_ms;
    read_fields(e);
    request_drop(e);
}

/* Where its entry is, for the leader's memory. */
static struct window_name entry_name(const struct jobplace *place)
{
    struct window_name name = {.lane = place->lane};
    struct span rest = span_str(place->entry), ms, seq;

    if (!span_next_word(&rest, '-', &ms) || !span_next_word(&rest, '-', &seq) ||
        span_to_u64(ms, &name.id_ms) < 0 || span_to_u64(seq, &name.id_seq) < 0)
        name.id_ms = name.id_seq = 0;
    return name;
}

static void on_look(void *ctx, enum job_state state, struct span receipt,
                    const struct jobplace *place)
{
    struct request *e = ctx;
    struct subject *s = e->state;

    if (say_state(e, state, receipt)) {
        request_drop(e);
        return;
    }
    s->place = *place;
    if (place->postponed) {
        jobplace_due(redis_of(e), s->account->name, s->job, on_job_due, e);
        return;
    }
    s->ask = (struct job_view_ask){
        .account = s->account->name, .settings = s->account, .job = entry_name(place)};
    read_fields(e);
    request_drop(e);
}

static void late_look(struct request *e)
{
    request_refuse(e, 503, "Redis does not answer; ask again");
}

void api_job_get(struct request *e)
{
    const struct subject *s = subject_of(e);

    if (!s)
        return;
    e->late = late_look;
    /* Asked first, and over the same connection: so its answer comes first, and the timeline does
     * not tell what was true an hour ago. */
    (void)overview_cache_of(e->in->overviews, s->account, clock_mono_ns());
    jobplace_find(redis_of(e), s->account->name, s->job, on_look, request_hold(e));
}

/* -- cancelling -- */

static json_t *cancelled_json(const struct subject *s)
{
    json_t *j =
        json_pack("{sososIsi}", "job", json_text_of(s->job), "state", json_text_of("cancelled"),
                  "at", (json_int_t)clock_wall_ms(), "targets", (int)s->targets);

    if (s->ref)
        json_object_set_new(j, "ref", json_text_of(s->ref));
    return j;
}

/* The receipt to store. This scope shows the job's ref only to producers that may push anything. */
static char *cancelled_receipt(const struct subject *s)
{
    json_t *j = cancelled_json(s);
    char *text;

    json_object_set_new(j, "scope", json_pack("[o]", json_text_of("large")));
    text = json_text_line(j);
    json_decref(j);
    return text;
}

static void late_cancel(struct request *e)
{
    request_refuse(e, 503,
                   "Redis does not answer: whether the job is cancelled is not known; cancel it "
                   "again");
}

static void look_for_it(struct request *e);

static void on_cancel_answer(void *ctx, enum jobplace_cancelled what, struct span receipt)
{
    struct request *e = ctx;
    struct subject *s = e->state;

    if (what == JOBPLACE_CANCELLED) {
        request_say_json(e, 200, cancelled_json(s));
    } else if (what == JOBPLACE_ENDED) {
        say_receipt(e, 409, receipt);
    } else if (what == JOBPLACE_FEW) {
        request_refuse(e, 503, receipt.p);
    } else if (what == JOBPLACE_FAILED) {
        request_refuse(e, 503, receipt.n ? receipt.p : "Redis is away");
    } else if (++s->tries < TRIES_MAX) {
        look_for_it(e);
    } else {
        request_refuse(e, 503, "job: it keeps moving; ask again");
    }
    request_drop(e);
}

static void take_back(struct request *e)
{
    const struct subject *s = e->state;
    const struct history_purge past = {.by = span_str(s->by ? s->by : "")};
    char *receipt = cancelled_receipt(s);
    struct buf purge;

    buf_init(&purge, HISTORY_PURGE_MAX);
    history_put_purge(&purge, &past);
    jobplace_cancel(replicated_of(e), s->account, s->job, &s->place, span_str(receipt),
                    purge.n ? buf_span(&purge) : SPAN(""), on_cancel_answer, request_hold(e));
    buf_deinit(&purge);
    free(receipt);
}

/* A producer that may push this job may cancel it. 0, or negative if the request was refused. */
static int check_fields(struct request *e, const struct span *at, size_t count)
{
    struct subject *s = e->state;
    struct job_spec spec;
    struct error err;
    int rc = job_decode(&e->in->decoder, s->account, at, count, &spec, &err);

    if (rc == 0) {
        s->targets = spec.targets_count;
        free(s->ref);
        free(s->by);
        s->ref = spec.ref.n ? alloc_copy(spec.ref.p, spec.ref.n) : NULL;
        s->by = spec.by.n ? alloc_copy(spec.by.p, spec.by.n) : NULL;
        spec.original = span_of(NULL, 0);
        rc = auth_may_push(e->who, s->account, s->lane, &spec, &err);
    } else if (e->who->admin) {
        rc = 0; /* an invalid job may be removed */
    }
    if (rc < 0)
        request_refuse(e, 403, err.text);
    return rc;
}

static void on_fields(void *ctx, enum jobplace_read what, const struct span *fields, size_t count,
                      struct span why)
{
    struct request *e = ctx;

    if (what == JOBPLACE_UNREADABLE)
        request_refuse(e, 503, why.p);
    else if (what == JOBPLACE_NOT_THERE)
        on_cancel_answer(request_hold(e), JOBPLACE_MOVED, SPAN(""));
    else if (check_fields(e, fields, count) == 0)
        take_back(e);
    request_drop(e);
}

static void on_place(void *ctx, enum job_state state, struct span receipt,
                     const struct jobplace *place)
{
    struct request *e = ctx;
    struct subject *s = e->state;

    if (state == JOB_ENDED) {
        jobplace_confirm_end(replicated_of(e), s->account->name, s->job, on_cancel_answer,
                             request_hold(e));
    } else if (!say_state(e, state, receipt)) {
        s->place = *place;
        jobplace_read(redis_of(e), s->account->name, s->job, place, on_fields, request_hold(e));
    }
    request_drop(e);
}

static void look_for_it(struct request *e)
{
    const struct subject *s = e->state;

    jobplace_find(redis_of(e), s->account->name, s->job, on_place, request_hold(e));
}

/* The dispatcher learns of this within a second and drops the waiting targets. Targets already sent
 * to Fastly cannot be recalled: they are purged, and the receipt stays "cancelled". */
void api_job_cancel(struct request *e)
{
    if (!subject_of(e))
        return;
    e->late = late_cancel;
    look_for_it(e);
}
