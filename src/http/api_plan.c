/* SPDX-License-Identifier: MIT
 * POST /v1/plan: predicts what would happen to jobs, or to the backlog, without sending a request.
 * The body is the same as for a push: one job, jobs as JSON lines, or {"jobs": […]}.
 *
 * A body of the largest size is planned within three seconds at the slowest budget. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "backlog.h"
#include "client.h"
#include "json_text.h"
#include "plan_json.h"
#include "worker.h"

#define JSON_DEPTH_MAX 10
#define REPLY_MS 50 /* the default of the command, too */
#define REPLY_MAX_MS 600000
#define REQUESTS_MAX 1000
#define TARGET_BYTES 512 /* approximate memory for a target in the window */
#define ERRORS_MAX 20
#define BACKLOG_MAX_JOBS 1000000 /* the command has no limit */
#define BACKLOG_MAX_S 10

struct planner {
    /* -- the order -- */
    const struct config *config;
    const struct config_producer *who;
    uint32_t window;                      /* targets at once: as in the daemon, or less */
    const struct config_account *account; /* NULL: the jobs name it */
    bool backlog, fresh;
    uint64_t reply_ms, requests_wanted;
    char *body;
    size_t body_bytes;

    /* -- the work -- */
    struct task *task;
    uint64_t now_ms, deadline_ns;
    struct job_decoder decoder;
    struct jobform form;
    struct plan *plan;
    const char *place; /* "line" or "job" */
    uint64_t taken;
    uint64_t wrong;   /* invalid jobs, not in the plan */
    int first_status; /* of the first refused job */
    json_t *errors, *requests;
};

static void free_planner(void *order)
{
    struct planner *p = order;

    free(p->body);
    free(p);
}

/* -- a plan -- */

static void on_request(void *ctx, const struct plan_request *r)
{
    struct planner *p = ctx;

    if (json_array_size(p->requests) < p->requests_wanted)
        json_array_append_new(p->requests, plan_json_request(r));
}

/* False if the task was refused. */
static bool begin_plan(struct planner *p)
{
    struct plan_options o = {.account = p->account,
                             .window = p->window,
                             .reply_ms = (uint32_t)p->reply_ms,
                             .wall_ms = p->now_ms,
                             .request = on_request,
                             .ctx = p};
    int rc;

    p->plan = plan_new(&o);
    rc = p->fresh ? 0 : backlog_read_budget(p->task->client, p->account, p->plan);
    if (rc < 0)
        task_redis_failed(p->task, rc, "");
    return rc == 0;
}

static void tell(struct planner *p, const struct plan_result *result)
{
    const struct plan_telling t = {.account = p->account,
                                   .result = result,
                                   .at_ms = p->now_ms,
                                   .reply_ms = p->reply_ms,
                                   .window = result->windowed ? p->window : p->config->window,
                                   .of = p->backlog ? "backlog" : "list",
                                   .spent_from = p->fresh ? "nothing" : "redis",
                                   .refused = p->wrong,
                                   .requests = p->requests_wanted ? p->requests : NULL};
    json_t *j = plan_json(&t);

    if (json_array_size(p->errors))
        json_object_set(j, "errors", p->errors);
    task_say(p->task, 200, j);
}

/* Finishes the plan even if its result is not needed, because every plan must be finished. */
static void end_plan(struct planner *p)
{
    struct plan_result result;

    plan_finish(p->plan, &result);
    if (!task_answered(p->task))
        tell(p, &result);
    plan_free(p->plan);
}

/* -- the backlog -- */

static bool on_page(void *ctx, uint64_t jobs)
{
    const struct planner *p = ctx;

    return jobs <= BACKLOG_MAX_JOBS && clock_mono_ns() < p->deadline_ns;
}

static void plan_backlog(struct planner *p)
{
    struct backlog_counts counts;
    int rc;

    if (!begin_plan(p))
        return;
    rc = backlog_read_jobs(p->task->client, p->account, p->plan, &counts, on_page, p);
    if (rc == -ECANCELED)
        task_refuse(p->task, 422, "too many jobs wait: 'purgeline plan --backlog' takes its time");
    else if (rc < 0)
        task_redis_failed(p->task, rc, "");
}

/* -- jobs in the body -- */

static void complain(struct planner *p, uint64_t number, int status, const char *why)
{
    if (!p->first_status)
        p->first_status = status;
    if (json_array_size(p->errors) < ERRORS_MAX)
        json_array_append_new(p->errors, json_pack("{sIso}", p->place, (json_int_t)number, "error",
                                                   json_text_of(why)));
}

/* Without an account in the query, the first job determines the account. 0, or a status with a
 * message. */
static int find_account(struct planner *p, struct span name, struct error *err)
{
    const struct config_account *found = NULL;
    uint32_t fit = 0;

    for (uint32_t i = 0; i < p->config->accounts_count; i++) {
        const struct config_account *a = &p->config->accounts[i];

        if (!auth_may_account(p->who, a) || (name.p && !span_is(name, a->name)))
            continue;
        found = a;
        fit++;
    }
    if (fit == 1) {
        p->account = found;
        return 0;
    }
    error_set(err, -ENOENT, "account: %s",
              name.p ? "no such account, or not for this producer"
                     : "missing, and there is more than one");
    return name.p ? 404 : 400;
}

/* 0, or the status of a refusal with a message. */
static int check(struct planner *p, struct error *err)
{
    struct job_spec spec;
    size_t count;
    const struct span *fields = jobform_fields(&p->form, &count);
    int status = p->account ? 0 : find_account(p, p->form.account, err);

    if (status)
        return status;
    if (p->form.account.p && !span_is(p->form.account, p->account->name)) {
        error_set(err, -EINVAL, "account: a plan is for one, this one for %s", p->account->name);
        return 400;
    }
    if (job_decode(&p->decoder, p->account, fields, count, &spec, err) < 0)
        return 400;
    return auth_may_push(p->who, p->account, p->form.lane, &spec, err) < 0 ? 403 : 0;
}

static void put_job(struct planner *p, uint64_t number)
{
    size_t count;
    const struct span *fields = jobform_fields(&p->form, &count);
    struct error err;

    if (!p->plan && !begin_plan(p))
        return;
    if (plan_take(p->plan, p->form.lane, fields, count, &err) < 0)
        complain(p, number, 400, err.text);
    else
        p->taken++;
}

/* NULL: the job's text could not be read, as `err` says. */
static void take_job(struct planner *p, json_t *job, uint64_t number, struct error *err)
{
    int status = 400;

    jobform_clear(&p->form, LANE_NORMAL);
    p->form.takes_account = true;
    if (job && jobform_add_object(&p->form, job, err) == 0)
        status = check(p, err);
    if (status == 0) {
        put_job(p, number);
        return;
    }
    p->wrong++;
    complain(p, number, status, err->text);
}

static void plan_line(struct planner *p, struct span text, uint64_t number)
{
    const char *flaw = api_json_flaw(text, JSON_DEPTH_MAX, NULL);
    struct error err;
    json_t *job = NULL;

    if (flaw)
        error_set(&err, -EINVAL, "not a job: %s", flaw);
    else
        job = jobform_load(text, &err);
    take_job(p, job, number, &err);
    json_decref(job);
}

static void take_jobs(struct planner *p, const json_t *jobs)
{
    p->place = "job";
    for (size_t i = 0; !task_answered(p->task) && i < json_array_size(jobs); i++) {
        json_t *job = json_array_get(jobs, i);
        struct error err = {"not a JSON object: another kind of value"};

        take_job(p, json_is_object(job) ? job : NULL, i + 1, &err);
    }
}

/* Takes the next line off the text, without its end and spaces. */
static struct span next_line(struct span *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n, past = end ? n + 1 : n;
    struct span line = span_of(rest->p, n && rest->p[n - 1] == '\r' ? n - 1 : n);

    *rest = span_of(rest->p + past, rest->n - past);
    return span_trim(line);
}

static void take_lines(struct planner *p)
{
    struct span rest = span_of(p->body, p->body_bytes);

    p->place = "line";
    for (uint64_t number = 1; !task_answered(p->task) && rest.n; number++) {
        struct span line = next_line(&rest);

        if (line.n)
            plan_line(p, line, number);
    }
}

/* Takes {"jobs": […]}, optionally with "account". 0, or the status of a refusal with a message. */
static int take_object(struct planner *p, const json_t *doc, struct error *err)
{
    const json_t *jobs = json_object_get(doc, "jobs"), *name = json_object_get(doc, "account");
    int status = 0;

    if (!json_is_array(jobs) || (name && !json_is_string(name)) ||
        json_object_size(doc) > (name ? 2 : 1)) {
        error_set(err, -EINVAL, "jobs: expected a list, and beside it only an account");
        return 400;
    }
    if (name && p->account && strcmp(json_string_value(name), p->account->name) != 0) {
        error_set(err, -EINVAL, "account: the query says %s", p->account->name);
        return 400;
    }
    if (name)
        status = find_account(p, span_str(json_string_value(name)), err);
    if (status == 0)
        take_jobs(p, jobs);
    return status;
}

static int take_body(struct planner *p, struct error *err)
{
    struct span body = span_of(p->body, p->body_bytes);
    json_t *doc = api_json_flaw(body, JSON_DEPTH_MAX, NULL)
                      ? NULL /* it may still be JSON lines */
                      : json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    int status = 0;

    if (!json_is_object(doc))
        take_lines(p);
    else if (json_object_get(doc, "jobs"))
        status = take_object(p, doc, err);
    else
        take_job(p, doc, 1, err);
    json_decref(doc);
    return status;
}

static void plan_jobs(struct planner *p)
{
    struct error err = {"a job is expected, or {\"jobs\": [...]}, or jobs as JSON lines"};
    int status = take_body(p, &err);
    const json_t *first = json_object_get(json_array_get(p->errors, 0), "error");

    if (p->taken || task_answered(p->task))
        return;
    if (first)
        task_refuse(p->task, p->first_status, "%s", json_string_value(first));
    else
        task_refuse(p->task, status ? status : 400, "%s", err.text);
}

/* -- the route -- */

static void plan_on_worker(struct task *c)
{
    struct planner *p = c->order;

    p->task = c;
    p->now_ms = clock_wall_ms();
    p->deadline_ns = clock_mono_ns() + BACKLOG_MAX_S * NS_PER_S;
    p->place = "line";
    p->errors = json_array();
    p->requests = json_array();
    job_decoder_init(&p->decoder);
    jobform_init(&p->form, LANE_NORMAL);
    if (p->backlog)
        plan_backlog(p);
    else
        plan_jobs(p);
    if (p->plan)
        end_plan(p);
    jobform_deinit(&p->form);
    job_decoder_deinit(&p->decoder);
    json_decref(p->requests);
    json_decref(p->errors);
}

/* False if the request was refused. */
static bool take_number(struct request *e, const char *name, uint64_t most, uint64_t *out)
{
    struct span text = request_query(e, name);
    char why[80];

    if (!text.p || (span_to_u64(text, out) == 0 && *out <= most))
        return true;
    snprintf(why, sizeof(why), "%s: expected a number up to %" PRIu64, name, most);
    request_refuse(e, 400, why);
    return false;
}

static bool take_query(struct request *e, struct planner *p)
{
    struct span name = request_query(e, "account");
    uint64_t backlog = 0, fresh = 0;

    if (!take_number(e, "backlog", 1, &backlog) || !take_number(e, "fresh", 1, &fresh) ||
        !take_number(e, "reply_ms", REPLY_MAX_MS, &p->reply_ms) ||
        !take_number(e, "requests", REQUESTS_MAX, &p->requests_wanted))
        return false;
    p->backlog = backlog;
    p->fresh = fresh;
    if (p->backlog && !e->who->admin) {
        request_refuse(e, 403, "backlog: this needs a producer with admin: true");
        return false;
    }
    if (!p->backlog && !name.p)
        return true;
    p->account = request_account(e, name);
    return p->account;
}

static uint64_t needed(struct span text)
{
    uint64_t bytes;

    return api_json_flaw(text, JSON_DEPTH_MAX, &bytes) ? 0 : bytes; /* it is not parsed */
}

/* The memory for the JSON: of one document, or of one line at a time. */
static uint64_t parsed_bytes(const struct planner *p)
{
    struct span rest = span_of(p->body, p->body_bytes);
    uint64_t most = needed(rest);

    while (rest.n)
        most = max_u64(most, needed(next_line(&rest)));
    return most;
}

/* Reserves part of the memory of HTTP requests for the plan's window, its copy of the body and the
 * JSON. False if the request was refused. */
static bool take_memory(struct request *e, struct planner *p)
{
    uint64_t bytes = config_visits_max_bytes(p->config) / 4;

    p->window = (uint32_t)min_u64(p->config->window, max_u64(bytes / TARGET_BYTES, 1));
    return request_take(e, bytes + p->body_bytes) && request_take_parsed(e, parsed_bytes(p));
}

void api_plan(struct request *e)
{
    struct planner *p = alloc_zeroed(1, sizeof(*p));
    struct span body = visit_body(e->visit);

    p->config = e->config;
    p->who = e->who;
    p->reply_ms = REPLY_MS;
    if (!take_query(e, p)) {
        free_planner(p);
        return;
    }
    p->body = alloc_copy(body.p, body.n);
    p->body_bytes = body.n;
    visit_drop_body(e->visit);
    if (!take_memory(e, p)) {
        free_planner(p);
        return;
    }
    task_begin(e, TASK_PLAN, plan_on_worker, p, free_planner);
}
