/* SPDX-License-Identifier: MIT */
#include "hour.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_text.h"
#include "snapshot.h"

/* Accounts whose state is asked in one step; with more of them, each has fewer samples. */
#define ASKED_MAX 50u
#define FIRST_MS 1000
/* What the answer needs for one account, at most: four numbers of up to 10 digits in each sample,
 * and while it grows, the half of it again. */
#define ACCOUNT_BYTES ((uint64_t)HOUR_SAMPLES * 4 * 11 * 3 / 2)

struct hour_account {
    struct hour *hour;
    char *name;
    struct hour_ring *ring; /* NULL until the first sample */
    uint64_t asked_step;    /* of the question that Redis has not answered; 0: there is none */
    /* Of the last sample, to tell what was sent since. */
    char *leader;
    uint64_t counted, counted_step;
};

struct hour {
    struct http_server *in;
    struct timer *timer;
    struct hour_account *accounts;
    uint32_t count, turn;
    bool stopped;
};

/* -- the ring -- */

static const struct hour_sample unknown = {HOUR_UNKNOWN, HOUR_UNKNOWN, HOUR_UNKNOWN, HOUR_UNKNOWN};

void hour_ring_put(struct hour_ring *r, uint64_t step, const struct hour_sample *s)
{
    must(step && step >= r->last);
    if (!r->last || step - r->last >= HOUR_SAMPLES)
        r->first = step;
    else
        for (uint64_t i = r->last + 1; i < step; i++)
            r->at[i % HOUR_SAMPLES] = unknown;
    r->at[step % HOUR_SAMPLES] = *s;
    r->last = step;
    if (step - r->first >= HOUR_SAMPLES)
        r->first = step - HOUR_SAMPLES + 1;
}

const struct hour_sample *hour_ring_at(const struct hour_ring *r, uint64_t step)
{
    must(r->last && step >= r->first && step <= r->last);
    return &r->at[step % HOUR_SAMPLES];
}

/* -- taking samples -- */

static uint32_t fitting(uint64_t n)
{
    return (uint32_t)min_u64(n, HOUR_UNKNOWN - 1);
}

static uint64_t step_now(void)
{
    return clock_mono_ns() / NS_PER_MS / HOUR_STEP_MS + 1;
}

static bool is_leader(const struct hour_account *a, const struct overview *o)
{
    return a->leader && o->leader && strcmp(a->leader, o->leader) == 0;
}

/* The leader counts from its start, so what another one has counted says nothing. */
static uint32_t sent_since(struct hour_account *a, const struct overview *o, uint64_t step)
{
    json_t *report = o->status ? json_loads(o->status, 0, NULL) : NULL;
    const json_t *counter = json_object_get(report, "targets_purged");
    uint64_t now = (uint64_t)json_integer_value(counter);
    uint32_t sent = HOUR_UNKNOWN;

    if (json_is_integer(counter)) {
        if (is_leader(a, o) && now >= a->counted && step - a->counted_step == 1)
            sent = fitting(now - a->counted);
        free(a->leader);
        a->leader = o->leader ? alloc_str(o->leader) : NULL;
        a->counted = now;
        a->counted_step = step;
    }
    json_decref(report);
    return sent;
}

static void take_sample(struct hour_account *a, const struct overview *o, uint64_t step)
{
    const struct overview_budget *budget = &o->budget[LEDGER_PURGE];
    struct hour_sample s = {.sent = sent_since(a, o, step)};
    uint64_t waiting = 0, oldest_ms = 0;

    for (int i = 0; i < LANE_N; i++) {
        waiting += o->lanes[i].jobs;
        oldest_ms = max_u64(oldest_ms, o->lanes[i].oldest_ms);
    }
    s.waiting = fitting(waiting);
    s.oldest_ms = fitting(oldest_ms);
    s.budget_left = budget->unread ? HOUR_UNKNOWN : fitting(budget->left);
    if (!a->ring)
        a->ring = alloc_zeroed(1, sizeof(*a->ring));
    hour_ring_put(a->ring, step, &s);
}

static void on_hour_state(void *ctx, struct snapshot *g)
{
    struct hour_account *a = ctx;

    if (g)
        take_sample(a, &g->overview, a->asked_step);
    a->asked_step = 0;
}

static void ask_account(struct hour_account *a, uint64_t step)
{
    struct http_server *in = a->hour->in;
    const struct config *c = in->config;

    if (a->asked_step || !submit_is_up(in->submit, a->name))
        return;
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        if (strcmp(c->accounts[i].name, a->name) != 0)
            continue;
        a->asked_step = step;
        snapshot_ask(submit_redis(in->submit, a->name), &c->accounts[i], on_hour_state, a);
        return;
    }
}

static void on_step(void *ctx)
{
    struct hour *h = ctx;
    uint32_t most = (uint32_t)min_u64(h->count, ASKED_MAX);
    uint64_t step = step_now();

    if (h->stopped)
        return;
    /* In the middle of the next step, so that each step has one. */
    timer_start_at(h->timer, (step * HOUR_STEP_MS + HOUR_STEP_MS / 2) * NS_PER_MS);
    for (uint32_t i = 0; i < most; i++) {
        ask_account(&h->accounts[h->turn], step);
        h->turn = (h->turn + 1) % h->count;
    }
}

struct hour *hour_new(struct http_server *in)
{
    const struct config *c = in->config;
    struct hour *h = alloc_zeroed(1, sizeof(*h));

    h->in = in;
    h->count = c->accounts_count;
    h->accounts = alloc_zeroed(h->count + 1, sizeof(*h->accounts));
    for (uint32_t i = 0; i < h->count; i++) {
        h->accounts[i].hour = h;
        h->accounts[i].name = alloc_str(c->accounts[i].name);
    }
    h->timer = timer_new(in->loop, on_step, h);
    if (h->count)
        timer_start_at(h->timer, clock_mono_ns() + FIRST_MS * NS_PER_MS);
    return h;
}

void hour_stop(struct hour *h)
{
    h->stopped = true;
    timer_stop(h->timer);
}

void hour_free(struct hour *h)
{
    if (!h)
        return;
    timer_close(h->timer);
    for (uint32_t i = 0; i < h->count; i++) {
        must(!h->accounts[i].asked_step);
        free(h->accounts[i].name);
        free(h->accounts[i].leader);
        free(h->accounts[i].ring);
    }
    free(h->accounts);
    free(h);
}

/* -- GET /v1/status/hour -- */

static uint32_t value_of(const struct hour_sample *s, int column)
{
    const uint32_t values[] = {s->sent, s->waiting, s->oldest_ms, s->budget_left};

    return values[column];
}

static void put_column(struct buf *out, const struct hour_ring *r, const char *name, int column)
{
    buf_printf(out, ",\"%s\":[", name);
    for (uint64_t step = r && r->last ? r->first : 1; r && r->last && step <= r->last; step++) {
        uint32_t n = value_of(hour_ring_at(r, step), column);

        if (step > r->first)
            buf_putc(out, ',');
        if (n == HOUR_UNKNOWN)
            buf_put(out, SPAN("null"));
        else
            buf_printf(out, "%" PRIu32, n);
    }
    buf_putc(out, ']');
}

/* Names of accounts need no escapes in JSON. `end`: the end of the newest step, or now if that is
 * earlier. */
static void put_account(struct buf *out, const struct hour_account *a, uint64_t now_ms)
{
    static const char *const names[] = {"sent", "waiting", "oldest_ms", "budget_left"};
    uint64_t mono_ms = clock_mono_ns() / NS_PER_MS;
    uint64_t end_ms = a->ring ? min_u64(a->ring->last * HOUR_STEP_MS, mono_ms) : mono_ms;

    buf_printf(out, "{\"account\":\"%s\",\"end\":%" PRIu64, a->name, now_ms - (mono_ms - end_ms));
    for (size_t i = 0; i < array_len(names); i++)
        put_column(out, a->ring, names[i], (int)i);
    buf_putc(out, '}');
}

static bool is_asked_for(const struct request *e, const struct config_account *one,
                         const struct hour_account *a)
{
    if (one)
        return strcmp(one->name, a->name) == 0;
    return request_find_account(e, span_str(a->name)) != NULL;
}

void api_status_hour(struct request *e)
{
    struct span name = request_query(e, "account");
    const struct config_account *one = name.p ? request_account(e, name) : NULL;
    const struct hour *h = e->in->hour;
    struct answer a = {.status = 200, .type = "application/json", .file = -1};
    uint64_t bytes = 256, now_ms = clock_wall_ms();
    struct buf text;
    bool any = false;

    for (uint32_t i = 0; i < h->count; i++)
        bytes += is_asked_for(e, one, &h->accounts[i]) ? ACCOUNT_BYTES + 256 : 0;
    if ((name.p && !one) || !request_take(e, bytes))
        return;
    buf_init(&text, bytes);
    buf_printf(&text, "{\"step_ms\":%" PRIu64 ",\"now\":%" PRIu64 ",\"accounts\":[", HOUR_STEP_MS,
               now_ms);
    for (uint32_t i = 0; i < h->count; i++) {
        if (!is_asked_for(e, one, &h->accounts[i]))
            continue;
        if (any)
            buf_putc(&text, ',');
        put_account(&text, &h->accounts[i], now_ms);
        any = true;
    }
    buf_put(&text, SPAN("]}"));
    a.body_bytes = text.n;
    a.body = buf_take(&text);
    request_answer(e, &a);
}
