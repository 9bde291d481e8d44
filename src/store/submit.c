/* SPDX-License-Identifier: MIT */
#include "submit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "job.h"
#include "keys.h"
#include "log.h"
#include "queue.h"
#include "redis_error.h"
#include "replicated.h"
#include "scripts.h"

#define ARGV_FEW 64
#define REFUSAL_HOLDS_MS UINT64_C(5000) /* then another job may find out */
#define ONCE_TTL_S digits_of(SUBMIT_IDEMPOTENCY_S)
/* HTTP clients are told after five seconds that the outcome is unknown. The jobs that they leave
 * behind wait this long for Redis. */
#define PATIENCE_MS 10000u

struct submit_link { /* a connection */
    UT_hash_handle hh;
    struct submit *submit;
    char *account; /* that it is for; NULL: for all */
    char *home;    /* a key of the account */
    struct redis *redis;
    struct replicated *replicated; /* on that connection: for what adds jobs */
    bool tried;                    /* it was up, or could not be made */
};

struct submit {
    struct loop *loop;
    const struct redis_address *address;
    struct submit_link all; /* for all accounts; in a Cluster it only shows whether there is one */
    struct submit_link *accounts; /* in a Cluster: hash table by account */
    uint32_t closing;             /* connections that are not closed yet */
    loop_cb *closed;
    void *closed_ctx;
    struct span *argv; /* scratch */
    size_t argv_room;
    uint64_t pending;
    char refusal[160];   /* why Redis, as a whole, refused the last job */
    uint64_t refused_ns; /* 0: it was accepted */
    uint32_t untried;    /* connections */
    loop_cb *up;
    loop_cb *tried; /* NULL: it was called */
    void *ctx;
};

struct put {
    struct submit *submit;
    struct submit_link *link;
    enum lane lane;
    submit_cb *cb;
    void *ctx;
    char *refusal; /* Redis' error for the first command that it refused in a transaction */
};

/* -- a job with an idempotency key is added once --
 * The job and its mark are written together, so that of many simultaneous equal requests exactly
 * one adds a job. A small job is added by a script. Converting a large job into Lua strings would
 * hold Redis too long, and Lua takes at most some 8,000 values. So a large job is added by a plain
 * XADD between two small scripts, in a transaction: nobody sees the entry before the second script
 * has kept or removed it.
 *
 *     MULTI   begin_once: notes how the stream ends   XADD   end_once: is it the first?   EXEC
 */

static void note_tried(struct submit_link *k)
{
    struct submit *t = k->submit;
    loop_cb *tried = t->tried;

    t->untried -= !k->tried;
    k->tried = true;
    if (t->untried || !tried)
        return;
    t->tried = NULL;
    tried(t->ctx);
}

static void on_redis_up(void *ctx)
{
    struct submit_link *k = ctx;

    k->submit->up(k->submit->ctx);
    note_tried(k);
}

static void on_redis_down(void *ctx, const char *why)
{
    (void)why; /* the dispatcher logs it for its own connections to this Redis */
    note_tried(ctx);
}

static void open_link(struct submit *t, struct submit_link *k)
{
    struct redis_address at = t->address ? *t->address : (struct redis_address){0};

    k->submit = t;
    t->untried++;
    at.home = k->home;
    k->redis = redis_new(t->loop, t->address ? &at : NULL, on_redis_up, on_redis_down, k);
    redis_set_patience(k->redis, PATIENCE_MS);
    k->replicated = replicated_new(k->redis, at.replicas);
}

struct submit *submit_new(struct loop *l, const struct redis_address *a, loop_cb *up,
                          loop_cb *tried, void *ctx)
{
    struct submit *t = alloc_zeroed(1, sizeof(*t));

    t->loop = l;
    t->address = a;
    t->up = up;
    t->tried = tried;
    t->ctx = ctx;
    t->argv_room = ARGV_FEW;
    t->argv = alloc_zeroed(t->argv_room, sizeof(*t->argv));
    open_link(t, &t->all);
    return t;
}

static struct submit_link *link_of(struct submit *t, const char *account)
{
    struct submit_link *k = NULL;

    if (account && t->accounts)
        HASH_FIND_STR(t->accounts, account, k);
    return k ? k : &t->all;
}

void submit_serve(struct submit *t, const char *account)
{
    struct submit_link *k;

    if (!t->address || !t->address->cluster || link_of(t, account) != &t->all)
        return;
    k = alloc_zeroed(1, sizeof(*k));
    k->account = alloc_str(account);
    k->home = redis_key_lane(account, LANE_NORMAL);
    open_link(t, k);
    HASH_ADD_KEYPTR(hh, t->accounts, k->account, strlen(k->account), k);
}

static void on_closed(void *ctx)
{
    struct submit_link *k = ctx;
    struct submit *t = k->submit;
    loop_cb *closed = t->closed;
    void *closed_ctx = t->closed_ctx;

    replicated_free(k->replicated);
    if (k != &t->all) {
        HASH_DEL(t->accounts, k);
        free(k->account);
        free(k->home);
        free(k);
    }
    if (--t->closing)
        return;
    must(t->pending == 0);
    free(t->argv);
    free(t);
    closed(closed_ctx);
}

void submit_close(struct submit *t, loop_cb *closed, void *ctx)
{
    t->closed = closed;
    t->closed_ctx = ctx;
    t->closing = 1 + HASH_COUNT(t->accounts);
    for (struct submit_link *k = t->accounts; k; k = k->hh.next)
        redis_close(k->redis, on_closed, k);
    redis_close(t->all.redis, on_closed, &t->all);
}

bool submit_is_up(const struct submit *t, const char *account)
{
    return redis_is_up(link_of((struct submit *)t, account)->redis);
}

uint64_t submit_pending(const struct submit *t)
{
    return t->pending;
}

struct redis *submit_redis(struct submit *t, const char *account)
{
    return link_of(t, account)->redis;
}

struct replicated *submit_replicated(struct submit *t, const char *account)
{
    return link_of(t, account)->replicated;
}

/* One account's broken key is no reason to send the producers of all others elsewhere. */
static void note_outcome(struct submit *t, const struct submit_result *r)
{
    enum redis_error e = r->why ? redis_error_of(r->why) : REDIS_ERROR_OTHER;

    if (r->outcome == SUBMIT_UNREPLICATED ||
        (r->outcome == SUBMIT_REFUSED && (redis_error_is_full(e) || redis_error_is_unfit(e)))) {
        snprintf(t->refusal, sizeof(t->refusal), "%s", r->why);
        t->refused_ns = clock_mono_ns();
    } else if (r->outcome == SUBMIT_ACCEPTED || r->outcome == SUBMIT_REPEATED) {
        t->refused_ns = 0;
    }
}

const char *submit_refusal(const struct submit *t)
{
    bool recent = t->refused_ns && clock_mono_ns() - t->refused_ns < REFUSAL_HOLDS_MS * NS_PER_MS;

    return recent ? t->refusal : NULL;
}

static void finish_put(struct put *p, const struct submit_result *r)
{
    static const char *const outcomes[] = {
        [SUBMIT_ACCEPTED] = "accepted", [SUBMIT_REPEATED] = "repeated",
        [SUBMIT_CONFLICT] = "conflict", [SUBMIT_REFUSED] = "refused",
        [SUBMIT_UNKNOWN] = "unknown",   [SUBMIT_UNREPLICATED] = "unreplicated"};

    log_debug("Redis answered a push over HTTP", "outcome=%s job=%s lane=%s why=\"%s\"",
              outcomes[r->outcome], r->job ? r->job : "", lane_names[p->lane],
              r->why ? r->why : "");
    note_outcome(p->submit, r);
    p->submit->pending--;
    p->cb(p->ctx, r);
    free(p->refusal);
    free(p);
}

/* Too few replicas have the job: it is not accepted, although it may be dispatched. */
static void finish_few(struct put *p, const struct replicas_few *few)
{
    struct submit_result r = {.outcome = SUBMIT_UNREPLICATED};
    char why[REPLICAS_FEW_ROOM];

    replicas_few_say(few, "the job", why);
    r.why = why;
    finish_put(p, &r);
}

static bool failed(struct put *p, const struct redisReply *reply, const struct replicas_few *few)
{
    struct submit_result r = {SUBMIT_UNKNOWN, NULL, "the connection to Redis broke"};

    if (reply && !reply_refused(reply))
        return false;
    if (few) {
        finish_few(p, few);
        return true;
    }
    if (reply)
        r = (struct submit_result){SUBMIT_REFUSED, NULL, reply_text(reply).p};
    finish_put(p, &r);
    return true;
}

static void on_added(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    struct put *p = ctx;
    struct span id;
    enum lane lane;
    char job[JOB_ID_ROOM];

    if (failed(p, reply, few))
        return;
    id = reply_text(reply);
    snprintf(job, sizeof(job), "%s-%.*s", lane_names[p->lane], (int)id.n, id.p);
    if (job_id_ok(span_str(job), &lane))
        finish_put(p, &(struct submit_result){SUBMIT_ACCEPTED, job, NULL});
    else
        finish_put(
            p, &(struct submit_result){SUBMIT_UNKNOWN, NULL, "Redis' answer is not an entry id"});
}

/* Handles a script's reply: {"new" | "repeated" | "conflict", job}. */
static void finish_once(struct put *p, const struct redisReply *told)
{
    struct submit_result r = {SUBMIT_ACCEPTED, NULL, NULL};
    struct span what = reply_text(reply_at(told, 0)), job = reply_text(reply_at(told, 1));
    enum lane lane;

    r.job = job.p;
    if (span_is(what, "conflict"))
        r.outcome = SUBMIT_CONFLICT;
    else if (span_is(what, "repeated"))
        r.outcome = SUBMIT_REPEATED;
    /* The id is checked because other programs can write to Redis, too. */
    if (r.outcome != SUBMIT_CONFLICT && !job_id_ok(job, &lane))
        r = (struct submit_result){SUBMIT_REFUSED, NULL,
                                   "Idempotency-Key: its once:* key in Redis holds no job id; "
                                   "delete that key"};
    finish_put(p, &r);
}

static void on_added_once(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    struct put *p = ctx;

    if (!failed(p, reply, few))
        finish_once(p, reply);
}

/* If one command is refused here, the whole transaction is refused, and EXEC does not say why. */
static void on_queued(void *ctx, struct redisReply *reply)
{
    struct put *p = ctx;

    if (reply && reply_refused(reply) && !p->refusal)
        p->refusal = alloc_copy(reply_text(reply).p, reply_text(reply).n);
}

/* Handles the reply of EXEC: {begin_once, XADD, end_once}. */
static void on_exec(void *ctx, struct redisReply *reply, const struct replicas_few *few)
{
    struct put *p = ctx;

    if (reply && p->refusal) {
        finish_put(p, &(struct submit_result){SUBMIT_REFUSED, NULL, p->refusal});
        return;
    }
    for (size_t i = 0; i < reply_count(reply); i++)
        if (failed(p, reply_at(reply, i), NULL))
            return;
    if (!failed(p, reply, few))
        finish_once(p, reply_at(reply, 2));
}

static struct span *room_for(struct submit *t, size_t count)
{
    if (t->argv_room < count) {
        t->argv_room = count;
        t->argv = alloc_grow(t->argv, count, sizeof(*t->argv));
    }
    return t->argv;
}

struct marks {
    const char *stream;
    char *once, *note;
};

static size_t add_fields(struct span *argv, size_t n, const struct span *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        argv[n++] = fields[i];
    return n;
}

/* Fills the scratch with XADD stream * fields... Returns the number of words. */
static size_t add_words(struct submit *t, const char *stream, const struct span *fields,
                        size_t count)
{
    struct span *argv = room_for(t, count + 3);

    argv[0] = SPAN("XADD");
    argv[1] = span_str(stream);
    argv[2] = SPAN("*");
    return add_fields(argv, 3, fields, count);
}

static void put_plain(struct put *p, const char *stream, const struct span *fields, size_t count)
{
    size_t n = add_words(p->submit, stream, fields, count);

    replicated_command(p->link->replicated, n, p->submit->argv, on_added, p);
}

static void put_small_once(struct put *p, const struct marks *m, const struct span *fields,
                           size_t count, struct span same)
{
    struct span *argv = room_for(p->submit, count + 8);
    size_t n = 0;

    argv[n++] = SPAN("EVAL");
    argv[n++] = span_str(scripts[SCRIPT_PUT_ONCE].text);
    argv[n++] = SPAN("2");
    argv[n++] = span_str(m->stream);
    argv[n++] = span_str(m->once);
    argv[n++] = same;
    argv[n++] = SPAN(ONCE_TTL_S);
    argv[n++] = span_str(lane_names[p->lane]);
    n = add_fields(argv, n, fields, count);
    replicated_command(p->link->replicated, n, argv, on_added_once, p);
}

/* All five commands are in the connection's buffer before any other command can be: on_queued sends
 * nothing. */
static void put_large_once(struct put *p, const struct marks *m, const struct span *fields,
                           size_t count, struct span same)
{
    struct redis *r = p->link->redis;
    const struct span begin[] = {SPAN("EVAL"), span_str(scripts[SCRIPT_BEGIN_ONCE].text), SPAN("2"),
                                 span_str(m->stream), span_str(m->note)};
    const struct span end[] = {SPAN("EVAL"),
                               span_str(scripts[SCRIPT_END_ONCE].text),
                               SPAN("3"),
                               span_str(m->stream),
                               span_str(m->once),
                               span_str(m->note),
                               same,
                               SPAN(ONCE_TTL_S),
                               span_str(lane_names[p->lane])};
    size_t n;

    redis_command(r, 1, (const struct span[]){SPAN("MULTI")}, on_queued, p);
    redis_command(r, array_len(begin), begin, on_queued, p);
    n = add_words(p->submit, m->stream, fields, count);
    redis_command(r, n, p->submit->argv, on_queued, p);
    redis_command(r, array_len(end), end, on_queued, p);
    replicated_command(p->link->replicated, 1, (const struct span[]){SPAN("EXEC")}, on_exec, p);
}

static void put_job_once(struct put *p, const struct config_account *a, const char *stream,
                         const struct span *fields, size_t count, const struct submit_once *once)
{
    const struct queue_entry e = {.fields = fields, .fields_count = count};
    char what[96];
    struct marks m;

    snprintf(what, sizeof(what), "once:%.*s", (int)once->key.n, once->key.p);
    m.stream = stream;
    m.once = redis_key(a->name, what);
    m.note = alloc_printf("%s:before", m.once);
    if (queue_entry_is_large(&e))
        put_large_once(p, &m, fields, count, once->same);
    else
        put_small_once(p, &m, fields, count, once->same);
    free(m.once);
    free(m.note);
}

void submit_put(struct submit *t, const struct config_account *a, enum lane lane,
                const struct span *fields, size_t count, const struct submit_once *once,
                submit_cb *cb, void *ctx)
{
    struct put *p = alloc_zeroed(1, sizeof(*p));
    char *stream = redis_key_lane(a->name, lane);

    *p = (struct put){.submit = t, .link = link_of(t, a->name), .lane = lane, .cb = cb, .ctx = ctx};
    t->pending++;
    if (once)
        put_job_once(p, a, stream, fields, count, once);
    else
        put_plain(p, stream, fields, count);
    free(stream);
}
