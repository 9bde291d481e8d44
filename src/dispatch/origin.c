/* SPDX-License-Identifier: MIT */
#include "origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "alloc.h"
#include "heap.h"
#include "list.h"
#include "origin_hosts.h"
#include "rng.h"
#include "target.h"
#include "when.h"

#define ASKS_MAX 16u /* under way, of an account */
#define ASK_TIMEOUT_MS 10000u
#define PAUSE_FIRST_MS 250u
#define PAUSE_MAX_MS 10000u
#define BUSY_NS (50 * NS_PER_MS) /* when there is no room, or too many asks are under way */
#define LEAST_BYTES ((uint64_t)128 * 1024)

struct origin_question {
    UT_hash_handle hh;
    struct when when;
    struct origin_host *host;
    struct list jobs;     /* struct origin_held */
    struct heap_node due; /* by monotonic time; in no heap while it is being asked */
    struct ask *ask;      /* under way, or NULL */
    uint64_t pause_ms;
    size_t key_bytes;
    char key[];
};

/* A question on its way. It outlives its question and the origin, if these end before its answer
 * comes. */
struct ask {
    struct origin *origin;            /* NULL: it has ended */
    struct origin_question *question; /* NULL: nobody waits for the answer */
    struct origin_host *host;
    struct list link;
    uint64_t asked_ns;
    struct exchange_look look;
    char header[WHEN_HEADER_MAX_BYTES + 1];
};

struct origin_held {
    struct list link;      /* in its question's jobs, or in `shown` */
    struct list all;       /* in the origin's list, oldest first */
    struct heap_node ends; /* by Unix time in ms; in no heap when its time is over */
    struct origin_question *question;
    uint64_t held_ns, over_ns; /* over_ns: when its time was over; 0: it is not */
    uint64_t expires_ms;
    uint32_t within_ms;
    size_t bytes;
    struct origin_job job;
    struct span fields[];
};

struct origin {
    const struct config_account *account;
    const struct origin_callbacks *cb;
    struct memory_user *memory;
    struct senders *senders;
    struct endpoint *endpoint;
    void *ctx;
    struct origin_hosts hosts;
    struct origin_question *questions;
    struct list held, shown, asks;
    struct heap due;  /* questions */
    struct heap ends; /* jobs */
    struct rng rng;
    uint32_t jobs, asking;
    uint32_t jobs_of[LANE_N];
    uint64_t bytes;
    struct origin_counts counts;
};

const char *const origin_result_names[ORIGIN_RESULT_N] = {
    [ORIGIN_SHOWN] = "shown", [ORIGIN_NOT_YET] = "not_yet", [ORIGIN_FAILED] = "failed"};

struct origin *origin_new(const struct config_account *a, const struct origin_callbacks *cb,
                          struct memory_user *memory, struct senders *s, void *ctx)
{
    struct origin *o = alloc_zeroed(1, sizeof(*o));

    o->cb = cb;
    o->memory = memory;
    o->senders = s;
    o->ctx = ctx;
    list_init(&o->held);
    list_init(&o->shown);
    list_init(&o->asks);
    heap_init(&o->due);
    heap_init(&o->ends);
    origin_configure(o, a);
    return o;
}

/* Its endpoint has no token, so none can be sent. */
void origin_configure(struct origin *o, const struct config_account *a)
{
    endpoint_drop(o->endpoint);
    o->account = a;
    o->endpoint = endpoint_new(&(struct endpoint_options){
        .api = "",
        .ca_file = a->origin_ca_file,
        .proxy = "",
        .proxy_ca_file = "",
        .proxy_auth = "",
        .token = "",
        .user_agent = "purgeline/" PURGELINE_VERSION,
        .accept = "*/*",
        .connect_timeout_ms = a->connect_timeout_ms,
        .timeout_ms = ASK_TIMEOUT_MS,
        .fault = "",
    });
}

uint64_t origin_bytes(const struct origin *o)
{
    return o->bytes;
}

uint32_t origin_jobs(const struct origin *o)
{
    return o->jobs;
}

uint32_t origin_jobs_of(const struct origin *o, enum lane lane)
{
    return o->jobs_of[lane];
}

const struct origin_counts *origin_counts(const struct origin *o)
{
    return &o->counts;
}

uint64_t origin_oldest_ms(const struct origin *o, uint64_t now_ns)
{
    if (list_empty(&o->held))
        return 0;
    return minus_u64(now_ns, list_first(&o->held, struct origin_held, all)->held_ns) / NS_PER_MS;
}

void origin_each_job(const struct origin *o, origin_job_cb *cb, void *ctx)
{
    list_each(it, &o->held) {
        const struct origin_held *h = list_entry(it, struct origin_held, all);

        cb(ctx, h->job.entry.lane, h->job.entry.id);
    }
}

/* -- hosts and questions --------------------------------------------------------------------- */

static size_t question_bytes(const struct origin_question *q)
{
    return ALLOC_TAKES(sizeof(*q) + q->key_bytes) + ORIGIN_HOST_BYTES;
}

static struct origin_question *question_of(struct origin *o, const struct when *w, uint64_t now_ns)
{
    struct origin_question *q;
    struct buf key;

    buf_init(&key, 2 * WHEN_MAX_BYTES);
    when_put_question(w, &key);
    HASH_FIND(hh, o->questions, key.p, key.n, q);
    if (!q) {
        q = alloc_zeroed(1, sizeof(*q) + key.n);
        q->when = *w;
        q->key_bytes = key.n;
        memcpy(q->key, key.p, key.n);
        q->pause_ms = PAUSE_FIRST_MS;
        q->host = origin_host_of(&o->hosts, span_str(w->url), now_ns);
        q->host->questions++;
        list_init(&q->jobs);
        heap_node_init(&q->due);
        heap_insert(&o->due, &q->due, now_ns);
        HASH_ADD_KEYPTR(hh, o->questions, q->key, q->key_bytes, q);
        o->bytes += question_bytes(q);
    }
    buf_deinit(&key);
    return q;
}

static void drop_question_if_unused(struct origin *o, struct origin_question *q)
{
    if (!list_empty(&q->jobs))
        return;
    if (q->ask)
        q->ask->question = NULL;
    heap_remove(&o->due, &q->due);
    HASH_DEL(o->questions, q);
    q->host->questions--;
    o->bytes -= question_bytes(q);
    free(q);
}

static void ask_at(struct origin *o, struct origin_question *q, uint64_t at_ns)
{
    if (q->ask)
        return;
    heap_remove(&o->due, &q->due);
    heap_insert(&o->due, &q->due, at_ns);
}

/* -- jobs ------------------------------------------------------------------------------------ */

static size_t text_bytes(const struct queue_entry *e)
{
    size_t bytes = 0;

    for (size_t i = 0; i < e->fields_count; i++)
        bytes += e->fields[i].n;
    return bytes;
}

static size_t held_bytes(const struct queue_entry *e)
{
    return ALLOC_TAKES(sizeof(struct origin_held) + e->fields_count * sizeof(struct span) +
                       text_bytes(e));
}

uint64_t origin_cost_bytes(const struct queue_entry *e)
{
    return held_bytes(e) + ALLOC_TAKES(sizeof(struct origin_question) + 2 * WHEN_MAX_BYTES) +
           ORIGIN_HOST_BYTES;
}

static bool has_room(const struct origin *o, const struct queue_entry *e)
{
    uint64_t most = max_u64(memory_share_bytes(o->memory, 16), LEAST_BYTES);

    return o->jobs < ORIGIN_JOBS_MAX && (o->jobs == 0 || o->bytes + origin_cost_bytes(e) <= most);
}

/* When a job was pushed, by the clock of Redis, even if it was postponed since then. */
static uint64_t pushed_ms(const struct queue_entry *e, const struct job_spec *spec)
{
    struct span rest = spec->original, word;
    uint64_t ms;

    if (span_next_word(&rest, '-', &word) && span_next_word(&rest, '-', &word) &&
        span_to_u64(word, &ms) == 0 && ms <= JOB_TIME_MAX_MS)
        return ms;
    return e->id.ms;
}

static struct origin_held *held_new(const struct queue_entry *e)
{
    struct origin_held *h = alloc_zeroed(1, held_bytes(e));
    char *text = (char *)&h->fields[e->fields_count];

    h->bytes = held_bytes(e);
    heap_node_init(&h->ends);
    h->job.entry = *e;
    h->job.entry.fields = h->fields;
    for (size_t i = 0; i < e->fields_count; i++) {
        struct span from = e->fields[i];

        if (from.n)
            memcpy(text, from.p, from.n);
        h->fields[i] = span_of(text, from.n);
        text += from.n;
    }
    return h;
}

bool origin_hold(struct origin *o, const struct queue_entry *e, const struct job_spec *spec,
                 struct now now)
{
    uint64_t from_ms = max_u64(pushed_ms(e, spec), spec->not_before_ms), ends_ms;
    struct origin_held *h;

    if (!has_room(o, e))
        return false;
    h = held_new(e);
    h->job.targets = spec->targets_count;
    h->held_ns = now.mono_ns;
    h->expires_ms = spec->expires_ms;
    h->within_ms = spec->when->within_ms;
    ends_ms = from_ms + spec->when->within_ms;
    heap_insert(&o->ends, &h->ends, h->expires_ms ? min_u64(ends_ms, h->expires_ms) : ends_ms);
    h->question = question_of(o, spec->when, now.mono_ns);
    list_push_back(&h->question->jobs, &h->link);
    list_push_back(&o->held, &h->all);
    o->jobs++;
    o->jobs_of[e->lane]++;
    o->bytes += h->bytes;
    return true;
}

/* Takes the job out of its question, which must be dropped if it has no other. */
static void drop_job(struct origin *o, struct origin_held *h)
{
    list_remove(&h->link);
    list_remove(&h->all);
    heap_remove(&o->ends, &h->ends);
    o->jobs--;
    o->jobs_of[h->job.entry.lane]--;
    o->bytes -= h->bytes;
    free(h);
}

static void end_job(struct origin *o, struct origin_held *h, enum outcome outcome,
                    const char *reason)
{
    o->cb->ended(o->ctx, &h->job, outcome, reason);
    drop_job(o, h);
}

/* A job whose time is over is asked for once more: so its end tells what was seen last, and a job
 * that was read too late is not given up without a question. */
static uint64_t end_late(struct origin *o, struct now now)
{
    struct heap_node *node;

    while ((node = heap_min(&o->ends)) && node->key <= now.wall_ms) {
        struct origin_held *h = container_of(node, struct origin_held, ends);
        struct origin_question *q = h->question;

        heap_remove(&o->ends, node);
        if (h->expires_ms && h->expires_ms <= now.wall_ms) {
            end_job(o, h, OUTCOME_EXPIRED, "expired while it waited for its origin");
            if (q)
                drop_question_if_unused(o, q);
            continue;
        }
        h->over_ns = now.mono_ns;
        if (q)
            ask_at(o, q, now.mono_ns);
    }
    return node ? now.mono_ns + (node->key - now.wall_ms) * NS_PER_MS : NEVER;
}

static uint64_t offer_shown(struct origin *o, uint64_t now_ns)
{
    while (!list_empty(&o->shown)) {
        struct origin_held *h = list_first(&o->shown, struct origin_held, link);

        if (!o->cb->shown(o->ctx, &h->job.entry))
            return now_ns + BUSY_NS;
        drop_job(o, h);
    }
    return NEVER;
}

static bool is_named(const struct origin_held *h, const struct queue_name *jobs, size_t count)
{
    const struct queue_entry *e = &h->job.entry;

    for (size_t i = 0; i < count; i++)
        if (jobs[i].id.ms == e->id.ms && jobs[i].id.seq == e->id.seq && jobs[i].lane == e->lane)
            return true;
    return false;
}

uint32_t origin_cancel(struct origin *o, const struct queue_name *jobs, size_t count)
{
    uint32_t dropped = 0;

    list_each_safe(it, next, &o->held) {
        struct origin_held *h = list_entry(it, struct origin_held, all);
        struct origin_question *q = h->question;

        if (!is_named(h, jobs, count))
            continue;
        drop_job(o, h);
        dropped++;
        if (q)
            drop_question_if_unused(o, q);
    }
    return dropped;
}

/* -- answers --------------------------------------------------------------------------------- */

static void say_late(const struct origin_held *h, const char *seen, char *out, size_t room)
{
    if (h->within_ms % 1000)
        snprintf(out, room, "origin: %s after %u ms", seen, h->within_ms);
    else
        snprintf(out, room, "origin: %s after %u s", seen, h->within_ms / 1000);
}

/* An answer counts only for jobs that were held when the question was sent. */
static void release_shown(struct origin *o, struct origin_question *q, uint64_t asked_ns)
{
    list_each_safe(it, next, &q->jobs) {
        struct origin_held *h = list_entry(it, struct origin_held, link);

        if (h->held_ns > asked_ns)
            continue;
        list_remove(&h->link);
        h->question = NULL;
        list_push_back(&o->shown, &h->link);
    }
}

static void give_up_late(struct origin *o, struct origin_question *q, const char *seen,
                         uint64_t asked_ns)
{
    char reason[WHEN_REASON_MAX + 64];

    list_each_safe(it, next, &q->jobs) {
        struct origin_held *h = list_entry(it, struct origin_held, link);

        if (!h->over_ns || h->over_ns > asked_ns)
            continue;
        say_late(h, seen, reason, sizeof(reason));
        end_job(o, h, OUTCOME_DEAD, reason);
    }
}

/* What the answer says, in words for producers. */
static enum origin_result judge_answer(const struct origin_question *q, const struct exchange *x,
                                       char *seen, size_t room)
{
    struct when_seen answer = {.status = x->error == EXCHANGE_OK ? x->status : 0,
                               .has_header = x->look->found,
                               .header = span_str(x->look->value),
                               .body = buf_span(&x->reply),
                               .error = x->error_text};

    if (when_shown(&q->when, &answer))
        return ORIGIN_SHOWN;
    when_describe(&q->when, &answer, seen, room);
    return answer.status ? ORIGIN_NOT_YET : ORIGIN_FAILED;
}

/* The next pause is about twice as long as the one before; the jitter keeps questions apart. */
static void ask_again(struct origin *o, struct origin_question *q, uint64_t now_ns)
{
    uint64_t pause_ms = q->pause_ms * 3 / 4 + rng_below(&o->rng, q->pause_ms / 2);

    q->pause_ms = min_u64(q->pause_ms * 2, PAUSE_MAX_MS);
    ask_at(o, q, now_ns + pause_ms * NS_PER_MS);
}

static bool awaits_its_end(const struct origin_question *q)
{
    list_each(it, &q->jobs)
        if (list_entry(it, struct origin_held, link)->over_ns)
            return true;
    return false;
}

static void use_answer(struct origin *o, struct origin_question *q, const struct exchange *x,
                       uint64_t asked_ns)
{
    char seen[WHEN_REASON_MAX] = "";
    uint64_t now_ns = clock_mono_ns();
    enum origin_result result = judge_answer(q, x, seen, sizeof(seen));

    o->counts.asks[result]++;
    q->ask = NULL;
    if (result == ORIGIN_SHOWN)
        release_shown(o, q, asked_ns);
    else
        give_up_late(o, q, seen, asked_ns);
    if (result == ORIGIN_SHOWN || awaits_its_end(q))
        ask_at(o, q, now_ns);
    else
        ask_again(o, q, now_ns);
    drop_question_if_unused(o, q);
}

static void on_origin_answer(struct exchange *x)
{
    struct ask *a = x->ctx;
    struct origin *o = a->origin;

    if (o) {
        list_remove(&a->link);
        a->host->asking--;
        o->asking--;
        if (a->question)
            use_answer(o, a->question, x, a->asked_ns);
        o->cb->changed(o->ctx);
    }
    exchange_free(x);
    free(a);
}

/* -- asking ---------------------------------------------------------------------------------- */

/* An address was written by the operator; a name may resolve to any address. */
static enum exchange_peer peer_of_question(const struct origin_question *q)
{
    return host_is_address(span_str(q->host->name)) ? EXCHANGE_CHOSEN : EXCHANGE_STRANGER;
}

static void send_ask(struct origin *o, struct origin_question *q, uint64_t now_ns)
{
    struct exchange *x = exchange_new(o->endpoint, WHEN_BODY_MAX_BYTES);
    struct ask *a = alloc_zeroed(1, sizeof(*a));

    a->origin = o;
    a->question = q;
    a->host = q->host;
    a->asked_ns = now_ns;
    memcpy(a->header, q->when.header, sizeof(a->header));
    a->look.header = a->header;
    list_push_back(&o->asks, &a->link);
    x->ctx = a;
    x->answered = on_origin_answer;
    x->look = &a->look;
    x->method = "GET";
    x->peer = peer_of_question(q);
    buf_put(&x->url, span_str(q->when.url));
    buf_put(&x->header, SPAN("Cache-Control: no-cache")); /* for caches in front of the origin */
    q->ask = a;
    origin_host_asked(q->host, o->account->origin_asks_per_s, now_ns);
    o->asking++;
    senders_send(o->senders, x);
}

static uint64_t ask_due(struct origin *o, uint64_t now_ns)
{
    struct heap_node *node;
    uint64_t when_ns;

    while ((node = heap_min(&o->due)) && node->key <= now_ns) {
        struct origin_question *q = container_of(node, struct origin_question, due);

        if (o->asking >= ASKS_MAX)
            return NEVER; /* an answer wakes us */
        heap_remove(&o->due, node);
        when_ns = origin_host_when_ns(q->host, now_ns);
        if (when_ns > now_ns)
            heap_insert(&o->due, node, when_ns);
        else
            send_ask(o, q, now_ns);
    }
    return node ? node->key : NEVER;
}

uint64_t origin_tick(struct origin *o, struct now now)
{
    uint64_t next = end_late(o, now);

    next = min_u64(next, offer_shown(o, now.mono_ns));
    return min_u64(next, ask_due(o, now.mono_ns));
}

/* -- the end --------------------------------------------------------------------------------- */

void origin_forget(struct origin *o)
{
    while (!list_empty(&o->held)) {
        struct origin_held *h = list_first(&o->held, struct origin_held, all);
        struct origin_question *q = h->question;

        drop_job(o, h);
        if (q)
            drop_question_if_unused(o, q);
    }
}

void origin_free(struct origin *o)
{
    struct list *node;

    if (!o)
        return;
    origin_forget(o);
    while ((node = list_pop_front(&o->asks)))
        list_entry(node, struct ask, link)->origin = NULL;
    origin_hosts_clear(&o->hosts);
    endpoint_drop(o->endpoint);
    heap_deinit(&o->due);
    heap_deinit(&o->ends);
    free(o);
}
