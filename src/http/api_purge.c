/* SPDX-License-Identifier: MIT
 * POST /v1/purge: stores one job in Redis before it replies. Also the code shared by all routes
 * that push. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "digest.h"
#include "fastly.h"
#include "http_internal.h"
#include "job_watch.h"
#include "json_text.h"
#include "log.h"
#include "overview_cache.h"

#define JSON_DEPTH_MAX 8 /* a job is a list in an object */
#define WAIT_MAX_S 300
#define IDEMPOTENCY_KEY_MAX_BYTES 255
/* The memory that a job needs in addition to its bytes until Redis has answered, and the overhead
 * of each of its fields in the Redis command. */
#define PUT_BYTES ((uint64_t)512)
#define FIELD_BYTES ((uint64_t)24)

uint64_t api_cost(const struct config_account *a, const struct job_spec *spec)
{
    uint64_t urls = 0, keys = 0, services = max_u64(spec->services_count, 1);

    for (uint32_t i = 0; i < spec->targets_count; i++) {
        urls += spec->targets[i].kind == TARGET_URL;
        keys += spec->targets[i].kind == TARGET_KEY;
    }
    if (a->budget.batch_cost == BATCH_COST_REQUEST) /* a batch is for one service */
        keys = (keys / services + FASTLY_BATCH_MAX_KEYS - 1) / FASTLY_BATCH_MAX_KEYS * services;
    return urls + keys;
}

static uint64_t fields_bytes(const struct span *fields, size_t count)
{
    uint64_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += fields[i].n;
    return n;
}

uint64_t api_put_bytes(struct jobform *f)
{
    size_t count;
    const struct span *fields = jobform_fields(f, &count);

    return PUT_BYTES + fields_bytes(fields, count) + count * FIELD_BYTES;
}

static bool full(struct request *e, const struct config_account *a)
{
    uint64_t most = e->in->config->http.backlog_max, jobs = 0;
    const struct overview_cache_account *s;

    if (!most)
        return false;
    s = overview_cache_of(e->in->overviews, a, clock_mono_ns());
    for (int lane = 0; lane < LANE_N; lane++)
        jobs += s->overview.lanes[lane].jobs;
    return jobs + submit_pending(e->in->submit) >= most;
}

/* Whether the job is larger than the dispatcher can hold: it would become a dead letter. */
static bool too_large(const struct request *e, const struct span *fields, size_t count,
                      struct error *err)
{
    uint64_t bytes = job_bytes(fields, count), most = config_job_max_bytes(e->in->config);
    size_t largest = 1;

    if (bytes <= most)
        return false;
    for (size_t i = 3; i < count; i += 2)
        if (fields[i].n > fields[largest].n)
            largest = i;
    error_set(err, -EMSGSIZE,
              "%.*s: the job has %" PRIu64 " bytes, and %" PRIu64
              " is the most (an eighth of memory_max); push its targets as several jobs",
              (int)min_u64(fields[largest - 1].n, 64), fields[largest - 1].p, bytes, most);
    return true;
}

/* Notes in the job who pushes it. A client cannot choose another's name. */
static void sign(const struct request *e, struct jobform *f)
{
    char by[160];

    if (e->route->access == ROUTE_SIGNED)
        snprintf(by, sizeof(by), "hook %.*s", (int)min_u64(e->parts[0].n, 120), e->parts[0].p);
    else
        snprintf(by, sizeof(by), "%.120s", e->who->name);
    jobform_sign(f, span_str(by));
}

int api_check(struct request *e, const struct config_account *a, struct jobform *f,
              struct job_spec *spec, uint64_t *retry_ms, struct error *err)
{
    size_t count;
    const struct span *fields;

    sign(e, f);
    fields = jobform_fields(f, &count);
    *retry_ms = 0;
    if (job_decode(&e->in->decoder, a, fields, count, spec, err) < 0)
        return 400;
    if (too_large(e, fields, count, err))
        return 413;
    if (auth_may_push(e->who, a, f->lane, spec, err) < 0)
        return 403;
    if (full(e, a)) {
        *retry_ms = 10000;
        error_set(err, -EAGAIN, "too many jobs are waiting already");
        return 503;
    }
    *retry_ms = auth_take(e->in->auth, e->who, 1, clock_mono_ns());
    if (*retry_ms) {
        error_set(err, -EAGAIN, "more than %u jobs a minute", e->who->jobs_per_minute);
        return 429;
    }
    return 0;
}

void api_audit_all(const struct request *e, const struct config_account *a,
                   const struct job_spec *spec)
{
    for (uint32_t i = 0; i < spec->targets_count; i++)
        if (spec->targets[i].kind == TARGET_ALL)
            log_warn("A producer pushes a purge-all",
                     "producer=\"%s\" peer=%s account=%s service=%s", e->who->name,
                     visit_peer(e->visit), a->name, a->services[spec->targets[i].service].id);
}

void api_refuse_put(struct request *e, const struct submit_result *r)
{
    char why[200];

    if (r->outcome == SUBMIT_CONFLICT) {
        request_refuse(e, 422, "Idempotency-Key: already used for a different job");
    } else if (r->outcome == SUBMIT_REFUSED) {
        snprintf(why, sizeof(why), "Redis refuses the job: %.150s", r->why);
        request_refuse(e, 503, why);
    } else if (r->outcome == SUBMIT_UNREPLICATED) {
        snprintf(why, sizeof(why),
                 "%.120s: it is not accepted, though it may be purged; push it again", r->why);
        request_refuse(e, 503, why);
    } else {
        request_refuse(
            e, 503,
            "Redis did not answer, so it is unknown whether it stored the job; push it again");
    }
}

/* -- one job from a client -- */

struct pushed {
    const struct config_account *account;
    enum lane lane;
    uint32_t targets;
    uint64_t cost;
    uint32_t wait_s;        /* Prefer: wait=N */
    uint64_t not_before_ms; /* Unix; 0: at once */
    char job[JOB_ID_ROOM];
    struct job_watcher *waiter;
    bool repeated;
};

static void end_pushed(struct request *e)
{
    free(e->state);
}

static uint64_t eta_ms(const struct request *e)
{
    const struct pushed *p = e->state;
    const struct overview_cache_account *s =
        overview_cache_of(e->in->overviews, p->account, clock_mono_ns());
    uint64_t now_ms = clock_wall_ms();

    return max_u64(overview_cache_eta_ms(s, p->account, p->lane, p->cost),
                   minus_u64(p->not_before_ms, now_ms));
}

/* Begins an object that describes the job. Without jansson, which would take more instructions than
 * all the rest of the request. */
static void put_pushed(const struct request *e, struct buf *to)
{
    const struct pushed *p = e->state;
    uint64_t eta = eta_ms(e);

    buf_put(to, SPAN("{\"job\":"));
    json_text_put(to, span_str(p->job));
    buf_put(to, SPAN(",\"account\":"));
    json_text_put(to, span_str(p->account->name));
    buf_put(to, SPAN(",\"lane\":"));
    json_text_put(to, span_str(lane_names[p->lane]));
    buf_put(to, SPAN(",\"targets\":"));
    buf_put_u64(to, p->targets);
    buf_put(to, SPAN(",\"cost\":"));
    buf_put_u64(to, p->cost);
    buf_put(to, SPAN(",\"eta_ms\":"));
    if (eta == UINT64_MAX)
        buf_put(to, SPAN("null"));
    else
        buf_put_u64(to, eta);
}

static struct answer pushed_answer(int status, struct buf *text)
{
    size_t n = text->n;

    return (struct answer){.status = status,
                           .type = "application/json",
                           .body = buf_take(text),
                           .body_bytes = n,
                           .file = -1};
}

static void answer_waiting(struct request *e)
{
    const struct pushed *p = e->state;
    struct answer a;
    struct buf text;
    char place[200];

    buf_init(&text, SIZE_MAX); /* a job is limited already */
    put_pushed(e, &text);
    buf_putc(&text, '}');
    a = pushed_answer(202, &text);
    snprintf(place, sizeof(place), "/v1/jobs/%s?account=%s", p->job, p->account->name);
    a.headers[0] = (struct answer_header){"Location", place};
    if (p->repeated)
        a.headers[1] = (struct answer_header){"Idempotency-Replayed", "true"};
    request_answer(e, &a);
}

static void answer_ended(struct request *e, struct span receipt)
{
    json_t *r = receipt.n ? json_loadb(receipt.p, receipt.n, JSON_ALLOW_NUL, NULL) : NULL;
    char *line;
    struct answer a;
    struct buf text;

    json_object_del(r, "scope"); /* the client's own job: it may see everything */
    request_hide_pusher(e->who, r);
    line = r ? json_text_line(r) : alloc_str("null");
    json_decref(r);
    buf_init(&text, SIZE_MAX); /* a job is limited already */
    put_pushed(e, &text);
    buf_put(&text, SPAN(",\"receipt\":"));
    buf_put(&text, span_str(line));
    buf_putc(&text, '}');
    free(line);
    a = pushed_answer(200, &text);
    request_answer(e, &a);
}

static void on_waited(void *ctx, struct span receipt)
{
    struct request *e = ctx;
    struct pushed *p = e->state;

    p->waiter = NULL;
    if (e->in->stopping)
        answer_waiting(e);
    else
        answer_ended(e, receipt);
    request_drop(e);
}

void api_late_push(struct request *e)
{
    request_refuse(
        e, 503, "Redis does not answer, so it is unknown whether it stored the job; push it again");
}

static void on_patience_over(struct request *e)
{
    struct pushed *p = e->state;

    if (p->waiter) {
        job_watch_remove(p->waiter);
        p->waiter = NULL;
        answer_waiting(e);
        request_drop(e);
    } else if (*p->job) {
        answer_waiting(e);
    } else {
        api_late_push(e);
    }
}

/* Replies with the job, which Redis has stored, but no longer waits for its outcome. */
static void on_push_withdrawn(struct request *e, int status, const char *why)
{
    (void)status;
    (void)why;
    on_patience_over(e);
}

static void on_visitor_gone(struct request *e)
{
    struct pushed *p = e->state;

    if (!p || !p->waiter)
        return;
    job_watch_remove(p->waiter);
    p->waiter = NULL;
    request_drop(e);
}

static void on_job_put(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;
    struct pushed *p = e->state;

    if (r->outcome > SUBMIT_REPEATED) {
        api_refuse_put(e, r);
    } else {
        snprintf(p->job, sizeof(p->job), "%s", r->job);
        p->repeated = r->outcome == SUBMIT_REPEATED;
        if (p->wait_s && e->visit && !visit_answered(e->visit) && !e->in->stopping) {
            visit_await(e->visit, p->wait_s * 1000);
            e->withdrawn = on_push_withdrawn;
            p->waiter = job_watch_add(e->in->waiters, p->account, p->job,
                                      p->not_before_ms ? WAITER_DELAYED : WAITER_PLAIN, on_waited,
                                      request_hold(e));
        } else {
            answer_waiting(e);
        }
    }
    request_drop(e);
}

/* Normally Redis answers within a millisecond. If it has said nothing for so long while answers
 * were pending, what is sent now would only wait behind them, and perhaps take effect much later.
 */
#define SILENCE_S 2

const char *api_redis_fault(const struct request *e, const struct config_account *a)
{
    if (!submit_is_up(e->in->submit, a->name))
        return "Redis is away";
    if (redis_silent_ns(submit_redis(e->in->submit, a->name)) > SILENCE_S * NS_PER_S)
        return "Redis has not answered for " digits_of(SILENCE_S) " s, so this was not sent to it";
    return NULL;
}

bool api_admit(struct request *e, const struct config_account *a, struct jobform *f,
               struct job_spec *spec)
{
    const char *fault;
    uint64_t retry_ms;
    struct error err;
    int status = api_check(e, a, f, spec, &retry_ms, &err);

    if (status) {
        request_refuse_later(e, status, retry_ms, err.text);
        return false;
    }
    fault = api_redis_fault(e, a);
    if (fault) {
        request_refuse(e, 503, fault);
        return false;
    }
    api_audit_all(e, a, spec);
    return true;
}

static void put(struct request *e, const struct config_account *a, struct jobform *f,
                const struct submit_once *once, submit_cb *cb, void *ctx)
{
    size_t count;
    const struct span *fields = jobform_fields(f, &count);

    e->in->counts.jobs++;
    submit_put(e->in->submit, a, f->lane, fields, count, once, cb, ctx);
}

void api_put(struct request *e, const struct config_account *a, struct jobform *f, submit_cb *cb,
             void *ctx)
{
    put(e, a, f, NULL, cb, ctx);
}

static void on_pushed(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;

    quota_give(&e->bill, e->put_bytes);
    e->pushed(e, r);
}

/* On the bill, the command replaces the body until Redis has answered. */
void api_push(struct request *e, const struct config_account *a, struct jobform *f,
              const struct submit_once *once, submit_cb *cb)
{
    e->put_bytes = api_put_bytes(f);
    visit_drop_body(e->visit);
    if (!request_take(e, e->put_bytes))
        return;
    e->pushed = cb;
    if (!e->late)
        e->late = api_late_push;
    put(e, a, f, once, on_pushed, request_hold(e));
    jobform_clear(f, f->lane); /* a large one would use memory until the next push */
}

/* -- headers -- */

/* Finds "wait=30" among other preferences: RFC 7240 section 4.3. */
static void take_wait(void *ctx, struct span value)
{
    struct pushed *p = ctx;
    struct span part;
    uint64_t s;

    while (span_next_word(&value, ',', &part)) {
        while (part.n && *part.p == ' ') {
            part.p++;
            part.n--;
        }
        if (span_starts_nocase(part, "wait=") &&
            span_to_u64(span_of(part.p + 5, part.n - 5), &s) == 0)
            p->wait_s = (uint32_t)min_u64(s, WAIT_MAX_S);
    }
}

struct once {
    struct submit_once once;
    char key[DIGEST_TEXT_ROOM], same[DIGEST_TEXT_ROOM];
};

static void digest_to(struct span s, char out[DIGEST_TEXT_ROOM])
{
    uint8_t digest[DIGEST_SHA256_BYTES];

    digest_sha256(s, digest);
    (void)digest_text(digest, sizeof(digest), HOOK_HEX, out);
}

/* Digests the producer's name with the key, so that two producers can use the same key. 1 if the
 * header is present, 0 if not, or -EINVAL if the request was refused. */
static int take_once(struct request *e, struct once *o)
{
    struct span key = visit_header(e->visit, "Idempotency-Key");
    struct buf both;

    if (!key.p)
        return 0;
    if (key.n == 0 || key.n > IDEMPOTENCY_KEY_MAX_BYTES) {
        request_refuse(
            e, 400,
            "Idempotency-Key: expected 1 to " digits_of(IDEMPOTENCY_KEY_MAX_BYTES) " bytes");
        return -EINVAL;
    }
    buf_init(&both, 1024);
    buf_printf(&both, "%s\n", e->who->name);
    buf_put(&both, key);
    digest_to(buf_span(&both), o->key);
    digest_to(visit_body(e->visit), o->same);
    buf_deinit(&both);
    o->once = (struct submit_once){span_str(o->key), span_str(o->same)};
    return 1;
}

/* -- the route -- */

static struct pushed *prepare(struct request *e, const struct config_account *a,
                              const struct jobform *f, const struct job_spec *spec)
{
    struct pushed *p = alloc_zeroed(1, sizeof(*p));

    p->account = a;
    p->lane = f->lane;
    p->targets = spec->targets_count;
    p->cost = api_cost(a, spec);
    p->not_before_ms = spec->not_before_ms;
    /* Queried before the job is pushed, so that its answer arrives before the job's. */
    (void)overview_cache_of(e->in->overviews, a, clock_mono_ns());
    visit_headers_named(e->visit, "Prefer", take_wait, p);
    e->state = p;
    e->end = end_pushed;
    e->late = on_patience_over;
    e->gone = on_visitor_gone;
    return p;
}

static struct json_t *load_job(struct span text, struct error *err)
{
    const char *flaw = api_json_job_flaw(text, JSON_DEPTH_MAX);

    if (!flaw)
        return jobform_load(text, err);
    error_set(err, -EINVAL, "not a job: %s", flaw);
    return NULL;
}

int api_read_form(struct http_server *in, struct span text, struct error *err)
{
    struct jobform *f = &in->form;
    json_t *job = load_job(text, err);
    int rc;

    jobform_clear(f, LANE_NORMAL);
    f->takes_account = true;
    rc = job ? jobform_add_object(f, job, err) : -EINVAL;
    json_decref(job);
    return rc;
}

void api_purge(struct request *e)
{
    struct jobform *f = &e->in->form;
    const struct config_account *a;
    struct job_spec spec;
    struct once once;
    struct error err;
    int has_once = take_once(e, &once);

    if (has_once < 0)
        return;
    if (api_read_form(e->in, visit_body(e->visit), &err) < 0) {
        request_refuse(e, 400, err.text);
        return;
    }
    a = request_account(e, f->account.p ? f->account : request_query(e, "account"));
    if (!a || !api_admit(e, a, f, &spec))
        return;
    prepare(e, a, f, &spec);
    api_push(e, a, f, has_once ? &once.once : NULL, on_job_put);
}
