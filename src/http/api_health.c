/* SPDX-License-Identifier: MIT
 * Health checks and metrics: /livez, /readyz, /metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "feed.h"
#include "http_internal.h"
#include "json_text.h"
#include "overview_cache.h"
#include "redis_error.h"
#include "stats_prometheus.h"

/* -- /livez -- */

static void livez_late(struct request *e)
{
    request_refuse(e, 503, "the dispatcher does not answer");
}

void api_livez(struct request *e)
{
    e->late = livez_late;
    http_server_ask_vitals(e, VITALS_HEALTH);
}

static void say_alive(struct request *e, const struct vitals *v)
{
    if (v->stalled)
        request_refuse(e, 503, v->why);
    else
        request_say(e, 200, "{\"status\":\"ok\"}");
}

/* -- /readyz -- */

static const struct overview_cache_account *stands(const struct request *e, uint32_t account)
{
    const struct http_server *in = e->in;

    return overview_cache_last_of(in->overviews, &in->config->accounts[account]);
}

/* Whether a lane of the account is unusable. `why` says what to do. */
static bool lost_lane(const struct config_account *a, const struct overview_cache_account *s,
                      char *why, size_t room)
{
    for (int lane = 0; lane < LANE_N; lane++) {
        if (!s->lost[lane])
            continue;
        snprintf(why, room,
                 "account %s: the entry ids of lane %s are beyond what any clock gives, and its "
                 "jobs become dead letters. When it is empty: DEL purgeline:{%s}:jobs:%s, then "
                 "purgeline dead retry --all",
                 a->name, lane_names[lane], a->name, lane_names[lane]);
        return true;
    }
    return false;
}

/* Whether the account's purges do not reach Fastly until somebody fixes something. */
static bool unready(const struct config_account *a, const struct overview_cache_account *s,
                    char *why, size_t room)
{
    if (lost_lane(a, s, why, room))
        return true;
    if (s->unreadable)
        snprintf(why, room,
                 "Redis refuses to read the state of account %s (purgeline check says why)",
                 a->name);
    else if (!s->overview.leader)
        snprintf(why, room, "nobody dispatches account %s", a->name);
    else if (s->refused)
        snprintf(why, room,
                 "Fastly refuses the token of account %s: jobs are taken and kept, none is sent. "
                 "purgeline status says what to do",
                 a->name);
    else
        return false;
    return true;
}

/* Whether only those ask who are about to push: a load balancer. While Fastly refuses a token, or
 * nobody dispatches an account, its jobs are accepted and kept. */
static bool asks_who_pushes(const struct request *e)
{
    return span_eq(request_query(e, "for"), SPAN("push"));
}

static void on_ready(void *ctx, bool ok)
{
    struct request *e = ctx;
    const struct config *c = e->config;
    char why[600];
    const char *refusal = submit_refusal(e->in->submit);
    bool wrong = refusal != NULL, all = !asks_who_pushes(e);

    if (refusal)
        snprintf(why, sizeof(why), "Redis refuses jobs: %s", redis_error_shown(refusal));
    for (uint32_t i = 0; all && i < c->accounts_count && !wrong; i++)
        wrong = unready(&c->accounts[i], stands(e, i), why, sizeof(why));
    if (!ok) {
        request_refuse(e, 503, "Redis is away");
    } else if (wrong) {
        request_refuse(e, 503, why);
    } else {
        json_t *o = json_pack("{so}", "status", json_text_of("ok"));

        if (e->in->consumers[0])
            json_object_set_new(o, "consumers", json_text_of(e->in->consumers));
        request_say_json(e, 200, o);
    }
    request_drop(e);
}

static void readyz_late(struct request *e)
{
    request_refuse(e, 503, "Redis does not answer");
}

/* Asks the dispatch loop first: Redis may refuse commands of the dispatch loop that the endpoint's
 * own connection does not send. */
void api_readyz(struct request *e)
{
    http_server_ask_vitals(e, VITALS_HEALTH);
}

static void take_ready(struct request *e, const struct vitals *v)
{
    if (!e->visit || visit_answered(e->visit))
        return;
    if (v->troubled && !asks_who_pushes(e)) {
        request_refuse(e, 503, v->trouble);
    } else {
        snprintf(e->in->consumers, sizeof(e->in->consumers), "%s", v->consumers);
        e->late = readyz_late;
        overview_cache_refresh(e->in->overviews, on_ready, request_hold(e));
    }
}

/* -- /metrics: from the dispatch loop, then from Redis, then from the endpoint itself -- */

/* One metric of the endpoint: name, type, help text, value. */
struct endpoint_item {
    const char *name, *kind, *help;
    uint64_t (*value)(const struct http_server *in);
};

static uint64_t value_connections(const struct http_server *in)
{
    return httpd_counts(in->httpd)->connections;
}

static uint64_t value_accepted(const struct http_server *in)
{
    return httpd_counts(in->httpd)->accepted;
}

static uint64_t value_timeouts(const struct http_server *in)
{
    return httpd_counts(in->httpd)->timeouts;
}

static uint64_t value_turned_away(const struct http_server *in)
{
    return httpd_counts(in->httpd)->turned_away;
}

static uint64_t value_requests(const struct http_server *in)
{
    return in->requests;
}

static uint64_t value_event_streams(const struct http_server *in)
{
    return feed_streams(in->feed);
}

static uint64_t value_jobs(const struct http_server *in)
{
    return in->counts.jobs;
}

static uint64_t value_pending(const struct http_server *in)
{
    return submit_pending(in->submit);
}

static uint64_t value_full(const struct http_server *in)
{
    return in->counts.full;
}

static uint64_t value_bytes(const struct http_server *in)
{
    return in->proven.used + in->unproven.used;
}

static uint64_t value_bytes_max(const struct http_server *in)
{
    return in->proven.max + in->unproven.max;
}

static const struct endpoint_item endpoint_items[] = {
    {"purgeline_http_connections", "gauge", "Open connections of producers.", value_connections},
    {"purgeline_http_accepted_total", "counter", "Connections accepted.", value_accepted},
    {"purgeline_http_timeouts_total", "counter", "Requests ended because they were too slow.",
     value_timeouts},
    {"purgeline_http_turned_away_total", "counter",
     "Connections closed at once because their address already had http.per_address connections.",
     value_turned_away},
    {"purgeline_http_visits_under_way", "gauge", "Requests of producers that wait for an answer.",
     value_requests},
    {"purgeline_http_event_streams", "gauge", "Open streams of GET /v1/events.",
     value_event_streams},
    {"purgeline_http_jobs_total", "counter", "Jobs sent to Redis for producers.", value_jobs},
    {"purgeline_http_jobs_under_way", "gauge",
     "Jobs sent to Redis for producers and not answered yet.", value_pending},
    {"purgeline_http_full_total", "counter",
     "Requests refused with 503 because others used all the memory that memory_max allows.",
     value_full},
    {"purgeline_http_bytes", "gauge", "Memory used by requests in progress.", value_bytes},
    {"purgeline_http_bytes_max", "gauge", "Memory limit for requests in progress.",
     value_bytes_max},
};

static void render_endpoint(const struct http_server *in, struct buf *out)
{
    for (size_t i = 0; i < array_len(endpoint_items); i++) {
        const struct endpoint_item *f = &endpoint_items[i];

        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", f->name, f->help, f->name,
                   f->kind, f->name, f->value(in));
    }
    buf_printf(out, "# HELP purgeline_http_answers_total Answers to producers, by class.\n"
                    "# TYPE purgeline_http_answers_total counter\n");
    for (unsigned i = 2; i <= 5; i++)
        buf_printf(out, "purgeline_http_answers_total{class=\"%uxx\"} %" PRIu64 "\n", i,
                   in->counts.by_status[i]);
}

static bool may_see_account(const struct request *e, const struct config_account *a)
{
    return e->who->admin || auth_may_account(e->who, a);
}

static bool may_see_named(void *ctx, struct span name)
{
    const struct request *e = ctx;
    const struct config *c = e->in->config;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (span_is(name, c->accounts[i].name))
            return may_see_account(e, &c->accounts[i]);
    return false;
}

static void render_backlog(const struct request *e, bool redis_up, struct buf *out)
{
    const struct config *c = e->config;
    struct metrics_backlog *at = alloc_zeroed(c->accounts_count, sizeof(*at));
    struct consumer_states *consumers = alloc_zeroed(c->accounts_count, sizeof(*consumers));
    size_t n = 0;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        if (!may_see_account(e, &c->accounts[i]) || stands(e, i)->unreadable)
            continue;
        at[n].account = c->accounts[i].name;
        if (redis_up) {
            at[n].overview = &stands(e, i)->overview;
            consumer_states_copy(&at[n].overview->consumers, &consumers[n]);
            consumer_states_expect(&consumers[n], c, c->accounts[i].name);
            at[n].consumers = &consumers[n];
        }
        n++;
    }
    metrics_render_backlog(at, n, redis_up, out);
    metrics_render_consumers(at, n, out);
    for (size_t i = 0; i < n; i++)
        consumer_states_deinit(&consumers[i]);
    free(consumers);
    free(at);
}

static void end_metrics(struct request *e)
{
    struct buf *text = e->state;

    buf_deinit(text);
    free(text);
}

enum redis_answer { REDIS_ANSWERED, REDIS_SILENT };

static void answer_metrics(struct request *e, enum redis_answer redis)
{
    struct buf *text = e->state;
    struct answer a = {.status = 200, .type = METRICS_CONTENT_TYPE, .file = -1};

    if (!e->visit || visit_answered(e->visit))
        return;
    render_backlog(e, redis == REDIS_ANSWERED, text);
    render_endpoint(e->in, text);
    e->in->metrics_bytes = text->room;
    if (text->room > e->bill.bytes)
        quota_take_over(&e->bill, text->room - e->bill.bytes);
    a.body_bytes = text->n;
    a.body = buf_take(text);
    request_answer(e, &a);
}

static void on_backlog(void *ctx, bool ok)
{
    struct request *e = ctx;

    answer_metrics(e, ok ? REDIS_ANSWERED : REDIS_SILENT);
    request_drop(e);
}

/* Redis or the dispatch loop does not answer: replies with the other metrics. */
static void metrics_late(struct request *e)
{
    answer_metrics(e, REDIS_SILENT);
}

/* What the metrics will probably need: as much as the last time. With many accounts, that may be
 * more than a request can ever get, but then the operator needs them more than ever. */
static uint64_t metrics_bytes(const struct request *e)
{
    uint64_t likely = METRICS_LIKELY_BYTES(e->in->config->accounts_count);

    if (e->in->metrics_bytes)
        likely = e->in->metrics_bytes;
    return min_u64(likely, quota_bill_room(&e->bill));
}

void api_metrics(struct request *e)
{
    struct buf *text;

    if (!request_take(e, metrics_bytes(e)))
        return;
    text = alloc_zeroed(1, sizeof(*text));
    buf_init(text, METRICS_MAX_BYTES(e->in->config->accounts_count));
    e->state = text;
    e->end = end_metrics;
    e->late = metrics_late;
    http_server_ask_vitals(e, VITALS_AND_METRICS);
}

static void take_metrics(struct request *e, const struct vitals *v)
{
    if (!e->visit || visit_answered(e->visit))
        return;
    metrics_filter(buf_span(&v->metrics), may_see_named, e, e->state);
    overview_cache_refresh(e->in->overviews, on_backlog, request_hold(e));
}

void api_health(struct request *e, const struct vitals *v)
{
    if (e->route->serve == api_livez)
        say_alive(e, v);
    else if (e->route->serve == api_readyz)
        take_ready(e, v);
    else
        take_metrics(e, v);
}
