/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "audit.h"
#include "feed.h"
#include "hour.h"
#include "http_internal.h"
#include "job_watch.h"
#include "log.h"
#include "overview_cache.h"
#include "pems.h"
#include "rlimits.h"
#include "stats_prometheus.h"
#include "thread.h"

#define PATIENCE_MS 5000 /* Redis normally answers within a millisecond */
/* How long connections are not accepted while it is not known yet whether Redis can be reached. */
#define TRY_REDIS_MS 2000

/* -- messages between the two loops -- */

enum letter_kind {
    LETTER_CONFIGURE,  /* to the endpoint */
    LETTER_STOP,       /* to the endpoint */
    LETTER_VITALS,     /* to the endpoint: the answer */
    LETTER_JOB,        /* to the endpoint: the answer */
    LETTER_ASK_VITALS, /* to the dispatch loop */
    LETTER_ASK_JOB,    /* to the dispatch loop */
    LETTER_STOPPED,    /* to the dispatch loop */
};

struct letter {
    struct list link;
    enum letter_kind kind;
    const struct config *config; /* held */
    struct request *request;     /* that asked */
    enum vitals_wanted wanted;
    struct vitals vitals;
    const struct job_view_ask *ask; /* lent by the request, which also gets `view` */
    struct job_view *view;
    job_viewed_cb *viewed;
};

static void post(struct mailbox *to, enum letter_kind kind, const struct config *c)
{
    struct letter *l = alloc_zeroed(1, sizeof(*l));

    l->kind = kind;
    l->config = config_hold(c);
    mailbox_post(to, &l->link);
}

/* -- requests -- */

static struct span trim_query(struct span target, struct span *query)
{
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;

    *query = span_of(NULL, 0);
    if (!mark)
        return target;
    *query = span_of(mark + 1, target.n - (size_t)(mark + 1 - target.p));
    return span_of(target.p, (size_t)(mark - target.p));
}

/* An absolute target ("GET http://host/path") is meant for a proxy. We are the origin, so it must
 * name the host in the Host header. RFC 9112 section 3.2.2. */
static int strip_authority(struct visit *v, struct span *target)
{
    struct span host, rest;
    const char *why;

    if (target->n && *target->p == '/')
        return 0;
    if (url_check(*target, &why) < 0)
        return 400;
    url_split(*target, &host, &rest);
    if (!span_eq_nocase(host, visit_header(v, "Host")))
        return 421;
    *target = rest.n && *rest.p == '/' ? rest : SPAN("/");
    return 0;
}

static void refuse_route(struct request *e, const char *allowed)
{
    struct answer a = {.status = 405, .type = "application/problem+json", .file = -1};

    if (!*allowed) {
        request_refuse(e, 404, "there is nothing at this path");
        return;
    }
    a.body = alloc_printf("{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\","
                          "\"status\":405,\"detail\":\"allowed: %s\"}",
                          allowed);
    a.body_bytes = strlen(a.body);
    a.headers[0] = (struct answer_header){"Allow", allowed};
    request_audit(e, 405, "not with this method");
    request_answer(e, &a);
}

/* Some base URLs end with a slash and the client adds another; some clients end every path with
 * one. This is accepted on Fastly's routes only, so that a proxy that protects /v1 by its path need
 * not know both spellings. */
static const struct route *find_despite_slashes(struct request *e, struct span target,
                                                char *allowed)
{
    struct span method = visit_method(e->visit), path = e->path;
    const struct route *r =
        route_find(e->in->options.routes, method, path, target, e->parts, allowed);
    char ignored[64];

    if (r)
        return r;
    if (path.n > 1 && path.p[1] == '/') {
        path = span_of(path.p + 1, path.n - 1);
        target = span_of(target.p + 1, target.n - 1);
        r = route_find(e->in->options.routes, method, path, target, e->parts, ignored);
    }
    if (!r && path.n > 1 && path.p[path.n - 1] == '/')
        r = route_find(e->in->options.routes, method, span_of(path.p, path.n - 1), target, e->parts,
                       ignored);
    return r && r->voice == ROUTE_FASTLY ? r : NULL;
}

static void find_route(struct request *e)
{
    struct span target = visit_target(e->visit);
    char allowed[64];
    int status = 0;

    if (!span_is(visit_method(e->visit), "PURGE"))
        status = strip_authority(e->visit, &target);
    else if (target.n && *target.p != '/')
        target = SPAN("/"); /* api_fastly_site uses the original target */
    if (status) {
        request_refuse(e, status, "an absolute target must be a URL of the host in Host");
        return;
    }
    e->path = trim_query(target, &e->query);
    e->route = find_despite_slashes(e, target, allowed);
    if (!e->route)
        refuse_route(e, allowed);
}

static void on_head(void *ctx, struct visit *v)
{
    struct http_server *in = ctx;
    struct request *e = alloc_zeroed(1, sizeof(*e));
    const char *why;
    int status;

    e->in = in;
    e->config = config_hold(in->config);
    e->visit = v;
    e->holds = 1;
    in->requests++;
    list_push_back(&in->requests_list, &e->link);
    visit_set_ctx(v, e);
    find_route(e);
    if (!e->route)
        return;
    status = known_authenticate(e, &why);
    if (status) {
        request_refuse(e, status, why);
        return;
    }
    if (e->who)
        visit_prove(v);
    if (e->route->access == ROUTE_OPEN)
        visit_collect(v, 0); /* open routes accept no body */
    if (request_enter(e) && request_body_is_plain(e) && request_read_query(e) &&
        e->route->serve_head)
        e->route->serve_head(e);
}

static size_t on_visit_part(void *ctx, struct visit *v, struct span part)
{
    struct request *e = visit_ctx(v);
    size_t taken = part.n;

    (void)ctx;
    if (e->part)
        e->part(e, part, &taken);
    return taken;
}

static void on_whole(void *ctx, struct visit *v)
{
    struct request *e = visit_ctx(v);

    (void)ctx;
    e->served = true;
    e->route->serve(e);
}

static void on_visit_late(void *ctx, struct visit *v)
{
    struct request *e = visit_ctx(v);

    (void)ctx;
    if (e->late)
        e->late(e);
    if (!visit_answered(v))
        request_refuse(e, 503, "there is no answer in time; ask again");
}

static void on_full(void *ctx, struct visit *v)
{
    (void)ctx;
    request_refuse_full(visit_ctx(v));
}

static void on_gone(void *ctx, struct visit *v)
{
    struct request *e = visit_ctx(v);
    const char *why;
    int status;

    (void)ctx;
    why = visit_own_answer(v, &status);
    if (why)
        request_audit(e, status, why);
    if (e->gone)
        e->gone(e);
    e->visit = NULL;
    request_drop(e);
}

/* -- on the endpoint's thread -- */

/* Takes over the caller's reference to c. Requests in progress keep their own reference to the
 * configuration that they use. */
static void configure(struct http_server *in, const struct config *c)
{
    const struct config *old = in->config;

    in->config = c;
    in->auth = auth_renew(in->auth, c);
    api_hooks_free(in->hooks);
    in->hooks = api_hooks_new(c);
    renew_httpd(in, &old->http);
    withdraw_all(in);
    config_drop(old);
}

static void finish_when_done(struct http_server *in)
{
    if (!in->redis_closed || in->asked || in->tasks)
        return;
    must(in->requests == 0);
    overview_cache_free(in->overviews);
    auth_free(in->auth);
    audit_free(in->audit);
    api_hooks_free(in->hooks);
    api_ips_free(in->ips);
    feed_free(in->feed);
    hour_free(in->hour);
    timer_close(in->room);
    timer_close(in->accept);
    quota_deinit(&in->files);
    quota_deinit(&in->proven);
    quota_deinit(&in->unproven);
    job_decoder_deinit(&in->decoder);
    jobform_deinit(&in->form);
    config_drop(in->config);
    post(in->dispatch_inbox, LETTER_STOPPED, NULL);
    mailbox_close(in->mailbox); /* this closes the last handle, so the loop ends */
}

void http_server_task_over(struct http_server *in)
{
    finish_when_done(in);
}

static void on_submit_closed(void *ctx)
{
    struct http_server *in = ctx;

    in->redis_closed = true;
    finish_when_done(in);
}

static void on_job_watch_closed(void *ctx)
{
    struct http_server *in = ctx;

    submit_close(in->submit, on_submit_closed, in);
}

static void on_feed_closed(void *ctx)
{
    struct http_server *in = ctx;

    job_watch_close(in->waiters, on_job_watch_closed, in);
}

static void on_httpd_closed(void *ctx)
{
    struct http_server *in = ctx;

    in->httpd = NULL;
    feed_close(in->feed, on_feed_closed, in);
}

void http_server_ask_vitals(struct request *e, enum vitals_wanted wanted)
{
    struct letter *l = alloc_zeroed(1, sizeof(*l));

    l->kind = LETTER_ASK_VITALS;
    l->request = request_hold(e);
    l->wanted = wanted;
    e->in->asked++;
    mailbox_post(e->in->dispatch_inbox, &l->link);
}

static void take_vitals(struct http_server *in, struct letter *l)
{
    api_health(l->request, &l->vitals);
    request_drop(l->request);
    buf_deinit(&l->vitals.metrics);
    in->asked--;
}

void http_server_ask_job(struct request *e, const struct job_view_ask *ask, job_viewed_cb *done)
{
    struct letter *l = alloc_zeroed(1, sizeof(*l));

    l->kind = LETTER_ASK_JOB;
    l->request = request_hold(e);
    l->ask = ask;
    l->view = alloc_zeroed(1, sizeof(*l->view));
    l->viewed = done;
    e->in->asked++;
    mailbox_post(e->in->dispatch_inbox, &l->link);
}

static void take_view(struct http_server *in, struct letter *l)
{
    l->viewed(l->request, l->view);
    request_drop(l->request);
    free(l->view);
    in->asked--;
}

static void on_letters(void *ctx, struct list *posted)
{
    struct http_server *in = ctx;
    struct list *node;
    bool answered = false;

    while ((node = list_pop_front(posted))) {
        struct letter *l = list_entry(node, struct letter, link);

        if (l->kind == LETTER_CONFIGURE) {
            configure(in, l->config);
        } else if (l->kind == LETTER_STOP) {
            in->stopping = true;
            timer_stop(in->accept);
            feed_stop(in->feed);
            hour_stop(in->hour);
            httpd_close(in->httpd, on_httpd_closed, in);
            job_watch_give_up(in->waiters);
        } else {
            (l->kind == LETTER_JOB ? take_view : take_vitals)(in, l);
            answered = true;
        }
        free(l);
    }
    if (answered)
        finish_when_done(in);
}

static void run(void *ctx)
{
    struct http_server *in = ctx;

    loop_run(in->loop);
}

/* -- on the dispatch loop -- */

static void answer_vitals(struct http_server *in, struct letter *l)
{
    l->kind = LETTER_VITALS;
    buf_init(&l->vitals.metrics, METRICS_MAX_BYTES(in->accounts_count));
    in->options.vitals(in->options.ctx, &l->vitals, l->wanted);
    mailbox_post(in->mailbox, &l->link);
}

static void answer_job(struct http_server *in, struct letter *l)
{
    l->kind = LETTER_JOB;
    if (in->options.job_view)
        in->options.job_view(in->options.ctx, l->ask, l->view);
    mailbox_post(in->mailbox, &l->link);
}

static void on_dispatch_letters(void *ctx, struct list *posted)
{
    struct http_server *in = ctx;
    struct list *node;

    while ((node = list_pop_front(posted))) {
        struct letter *l = list_entry(node, struct letter, link);

        if (l->kind != LETTER_STOPPED) {
            (l->kind == LETTER_ASK_JOB ? answer_job : answer_vitals)(in, l);
            continue;
        }
        free(l);
        thread_join(in->thread);
        in->thread = NULL;
        in->stopped(in->stopped_ctx);
    }
}

static struct httpd *open_httpd(struct http_server *in, struct error *err)
{
    static const struct httpd_calls calls = {on_head,       on_visit_part, on_whole,
                                             on_visit_late, on_gone,       on_full};
    const struct config *c = in->config;
    struct httpd_options o = renew_options(in);
    struct httpd *h = NULL;
    struct pems pems;

    o.patience_ms = PATIENCE_MS;
    o.accepts_later = true;
    o.calls = &calls;
    o.ctx = in;
    if (pems_read(&c->http, &pems, &o.tls, err) == 0) {
        h = httpd_new(in->loop, &o, err);
        if (!h)
            error_set(err, -EINVAL, "listen: %s", err->text);
    }
    pems_wipe(&pems);
    return h;
}

/* Queries the overviews now, so that the first client already gets a real estimate. */
static void on_redis_up(void *ctx)
{
    struct http_server *in = ctx;

    for (uint32_t i = 0; i < in->config->accounts_count; i++)
        (void)overview_cache_of(in->overviews, &in->config->accounts[i], clock_mono_ns());
}

/* A client that comes before the first attempt to reach Redis would only be told that Redis is
 * away. */
static void on_redis_tried(void *ctx)
{
    struct http_server *in = ctx;

    timer_stop(in->accept);
    if (!in->stopping)
        httpd_accept(in->httpd);
}

static void on_redis_slow(void *ctx)
{
    log_warn("Redis does not answer; the HTTP endpoint accepts requests all the same", "");
    on_redis_tried(ctx);
}

static struct redis *connection_of(void *ctx, const char *account)
{
    struct http_server *in = ctx;

    return submit_redis(in->submit, account);
}

static void on_room(void *ctx)
{
    api_bulk_room(ctx);
}

/* Resumes streams later, because the caller that returned memory is still using its state. */
static void on_freed(void *ctx)
{
    struct http_server *in = ctx;

    if (!list_empty(&in->bulks_waiting))
        timer_start_at(in->room, 0);
}

/* One quarter is for clients that have not authenticated. They can keep out each other, but never a
 * producer. */
static void share_memory(struct http_server *in)
{
    uint64_t max = config_visits_max_bytes(in->config);

    quota_init(&in->unproven, max / 4);
    quota_init(&in->proven, max - max / 4);
    quota_notify(&in->proven, on_freed, in);
    in->room = timer_new(in->loop, on_room, in);
    list_init(&in->bulks_waiting);
    quota_init(&in->files, in->config->http.results_max);
}

struct http_server *http_server_new(const struct http_server_options *o, struct error *err)
{
    struct http_server *in;

    if (rlimits_allow_http(err) < 0)
        return NULL;
    in = alloc_zeroed(1, sizeof(*in));
    in->options = *o;
    in->config = config_hold(o->config);
    in->options.config = NULL;
    in->accounts_count = o->config->accounts_count;
    list_init(&in->requests_list);
    in->loop = loop_new();
    in->httpd = open_httpd(in, err);
    if (!in->httpd) {
        loop_run(in->loop);
        loop_free(in->loop);
        config_drop(in->config);
        free(in);
        return NULL;
    }
    share_memory(in);
    in->mailbox = mailbox_new(in->loop, on_letters, in);
    in->dispatch_inbox = mailbox_new(o->loop, on_dispatch_letters, in);
    in->accept = timer_new(in->loop, on_redis_slow, in);
    timer_start_at(in->accept, clock_mono_ns() + TRY_REDIS_MS * NS_PER_MS);
    in->submit = submit_new(in->loop, o->redis, on_redis_up, on_redis_tried, in);
    for (uint32_t i = 0; i < o->config->accounts_count; i++)
        submit_serve(in->submit, o->config->accounts[i].name);
    in->overviews = overview_cache_new(o->config, connection_of, in);
    in->waiters = job_watch_new(in->loop, o->redis, o->config, in->submit);
    in->auth = auth_new(o->config);
    in->audit = audit_new(in->loop);
    in->hooks = api_hooks_new(o->config);
    in->ips = api_ips_new(in);
    in->feed = feed_new(in);
    in->hour = hour_new(in);
    job_decoder_init(&in->decoder);
    jobform_init(&in->form, LANE_NORMAL);
    in->thread = thread_start(run, in);
    return in;
}

const char *http_server_address(const struct http_server *in)
{
    return httpd_address(in->httpd);
}

void http_server_configure(struct http_server *in, const struct config *c)
{
    post(in->mailbox, LETTER_CONFIGURE, c);
}

void http_server_stop(struct http_server *in, loop_cb *stopped, void *ctx)
{
    in->stopped = stopped;
    in->stopped_ctx = ctx;
    post(in->mailbox, LETTER_STOP, NULL);
}

void http_server_free(struct http_server *in)
{
    if (!in)
        return;
    must(!in->thread);
    mailbox_close(in->dispatch_inbox);
    loop_free(in->loop);
    free(in);
}
