/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "origin_internal.h"

#define ASK_TIMEOUT_MS 10000u
#define GATE_AGAIN_NS                                                                              \
    (5 * NS_PER_S) /* when purge_all_needs is fulfilled, but nothing may be sent */
#define LEAST_BYTES ((uint64_t)128 * 1024)

const char *const origin_result_names[ORIGIN_RESULT_N] = {
    [ORIGIN_SHOWN] = "shown", [ORIGIN_NOT_YET] = "not_yet", [ORIGIN_FAILED] = "failed"};

struct origin *origin_new(const struct config_account *a, const struct origin_callbacks *cb,
                          struct memory_user *memory, struct senders *s, uint64_t seed, void *ctx)
{
    struct origin *o = alloc_zeroed(1, sizeof(*o));

    o->cb = cb;
    o->memory = memory;
    o->senders = s;
    o->rng.state = seed;
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

const char *origin_last_seen(const struct origin *o)
{
    list_each(it, &o->held) {
        const struct origin_held *h = list_entry(it, struct origin_held, all);

        if (h->question && *h->question->seen)
            return h->question->seen;
    }
    return "";
}

const struct origin_counts *origin_counts(const struct origin *o)
{
    return &o->counts;
}

uint64_t origin_oldest_ms(const struct origin *o, uint64_t wall_ms)
{
    uint64_t oldest_ms = 0;

    list_each(it, &o->held) {
        const struct origin_held *h = list_entry(it, struct origin_held, all);

        oldest_ms = max_u64(oldest_ms, minus_u64(wall_ms, h->from_ms));
    }
    return oldest_ms;
}

void origin_each_job(const struct origin *o, origin_job_cb *cb, void *ctx)
{
    list_each(it, &o->held) {
        const struct origin_held *h = list_entry(it, struct origin_held, all);

        cb(ctx, h->job.entry.lane, h->job.entry.id);
    }
}

bool origin_view(const struct origin *o, enum lane lane, struct entry_id id,
                 struct origin_view *out)
{
    list_each(it, &o->held) {
        const struct origin_held *h = list_entry(it, struct origin_held, all);
        const struct queue_entry *e = &h->job.entry;
        const struct origin_question *q = h->question;

        if (e->lane != lane || e->id.ms != id.ms || e->id.seq != id.seq)
            continue;
        *out = (struct origin_view){.gate = h->job.asked_gate,
                                    .asking = q && q->ask,
                                    .next_ns = q && !q->ask ? q->due.key : NEVER,
                                    .until_ms = h->ends.pos == HEAP_NOWHERE ? NEVER : h->ends.key};
        snprintf(out->seen, sizeof(out->seen), "%s", q ? q->seen : "");
        return true;
    }
    return false;
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
    return held_bytes(e) + origin_question_bytes(2 * WHEN_MAX_BYTES);
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

bool origin_is_gated(const struct config_account *a, const struct job_spec *spec)
{
    for (uint32_t i = 0; *a->purge_all_needs && i < spec->targets_count; i++)
        if (spec->targets[i].kind == TARGET_ALL)
            return true;
    return false;
}

static void ask_for(struct origin *o, struct origin_held *h, const struct when *w, uint64_t ends_ms,
                    uint64_t now_ns)
{
    if (h->expires_ms)
        ends_ms = min_u64(ends_ms, h->expires_ms);
    heap_remove(&o->ends, &h->ends);
    if (ends_ms != NEVER)
        heap_insert(&o->ends, &h->ends, ends_ms);
    h->held_ns = now_ns;
    h->over_ns = 0;
    h->question = origin_question_of(o, w, now_ns);
    list_push_back(&h->question->jobs, &h->link);
}

/* A purge-all waits for purge_all_needs as long as that takes. */
static void ask_for_gate(struct origin *o, struct origin_held *h, uint64_t now_ns)
{
    struct when gate;

    when_answers(o->account->purge_all_needs, &gate);
    ask_for(o, h, &gate, NEVER, now_ns);
}

bool origin_hold(struct origin *o, const struct queue_entry *e, const struct job_spec *spec,
                 struct now now)
{
    struct origin_held *h;

    if (!has_room(o, e))
        return false;
    h = held_new(e);
    h->job.targets = spec->targets_count;
    h->from_ms = max_u64(pushed_ms(e, spec), spec->not_before_ms);
    h->expires_ms = spec->expires_ms;
    h->job.asked_gate = !spec->when;
    if (spec->when) {
        h->within_ms = spec->when->within_ms;
        ask_for(o, h, spec->when, h->from_ms + h->within_ms, now.mono_ns);
    } else {
        ask_for_gate(o, h, now.mono_ns);
    }
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
                origin_drop_question(o, q);
            continue;
        }
        h->over_ns = now.mono_ns;
        if (q)
            origin_ask_at(o, q, now.mono_ns);
    }
    return node ? now.mono_ns + (node->key - now.wall_ms) * NS_PER_MS : NEVER;
}

static uint64_t offer_shown(struct origin *o, uint64_t now_ns)
{
    while (!list_empty(&o->shown)) {
        struct origin_held *h = list_first(&o->shown, struct origin_held, link);

        enum origin_taken taken = o->cb->shown(o->ctx, &h->job);

        if (taken == ORIGIN_NO_ROOM)
            return now_ns + ORIGIN_BUSY_NS;
        if (taken == ORIGIN_TAKEN) {
            drop_job(o, h);
            continue;
        }
        list_remove(&h->link);
        ask_for_gate(o, h, now_ns);
        if (h->job.asked_gate)
            origin_ask_at(o, h->question, now_ns + GATE_AGAIN_NS);
        h->job.asked_gate = true;
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
            origin_drop_question(o, q);
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
void origin_release(struct origin *o, struct origin_question *q, uint64_t asked_ns)
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

void origin_give_up(struct origin *o, struct origin_question *q, const char *seen,
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

uint64_t origin_tick(struct origin *o, struct now now)
{
    uint64_t next = end_late(o, now);

    next = min_u64(next, offer_shown(o, now.mono_ns));
    return min_u64(next, origin_ask_due(o, now.mono_ns));
}

/* -- the end --------------------------------------------------------------------------------- */

void origin_forget(struct origin *o)
{
    while (!list_empty(&o->held)) {
        struct origin_held *h = list_first(&o->held, struct origin_held, all);
        struct origin_question *q = h->question;

        drop_job(o, h);
        if (q)
            origin_drop_question(o, q);
    }
}

void origin_free(struct origin *o)
{
    if (!o)
        return;
    origin_forget(o);
    origin_orphan_asks(o);
    origin_hosts_clear(&o->hosts);
    endpoint_drop(o->endpoint);
    heap_deinit(&o->due);
    heap_deinit(&o->ends);
    free(o);
}
