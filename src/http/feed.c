/* SPDX-License-Identifier: MIT */
#include "feed.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "ends_watch.h"
#include "feed_internal.h"
#include "json_text.h"

#define COMMENT_NS (15 * NS_PER_S)
#define RETRY_MS 3000u

const char *const feed_kind_names[FEED_KIND_N] = {"status", "job", "dead", "act"};

/* -- events -- */

struct feed_frame *feed_event(struct feed *f, const char *name, json_t *j)
{
    char *text = json_text_line(j), id[48];
    struct feed_frame *frame;

    json_decref(j);
    snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, f->started_ms, ++f->events);
    frame = feed_frame_new(name, id, span_str(text));
    free(text);
    return frame;
}

bool feed_wants(const struct feed_stream *s, const struct feed_account *a, enum feed_kind kind)
{
    return (s->kinds & 1u << kind) && s->sees[a - s->feed->accounts] && !s->ending;
}

void feed_wake(struct feed_stream *s)
{
    if (s->request->visit && visit_is_live(s->request->visit))
        visit_live_wake(s->request->visit);
}

void feed_put(struct feed_stream *s, struct feed_frame *f)
{
    feed_queue_put(&s->queue, f);
    feed_wake(s);
}

static struct feed_frame *next_of_stream(void *ctx)
{
    struct feed_stream *s = ctx;
    struct feed_frame *last = s->last;
    bool comment = s->comment_due;

    s->comment_due = false;
    if (comment)
        return feed_frame_hold(s->feed->comment);
    if (!s->ending)
        return feed_state_next(s);
    if (s->queue.count || s->queue.lost)
        return NULL;
    s->last = NULL;
    return last;
}

size_t feed_more(void *ctx, char *out, size_t room)
{
    struct feed_stream *s = ctx;
    size_t n = feed_queue_take(&s->queue, out, room, next_of_stream, s);

    if (n)
        s->sent_ns = clock_mono_ns();
    return n;
}

/* -- Redis comes and goes -- */

static void tell_redis(struct feed *f, const char *state)
{
    struct feed_frame *frame;
    json_t *j = json_pack("{so}", "state", json_text_of(state));
    char *text = json_text_line(j);

    json_decref(j);
    frame = feed_frame_new("redis", NULL, span_str(text));
    free(text);
    list_each(node, &f->streams)
        feed_put(list_entry(node, struct feed_stream, link), frame);
    feed_frame_drop(frame);
}

static void look_at_redis(struct feed *f)
{
    bool away = !submit_is_up(f->in->submit, NULL);

    if (away == f->away)
        return;
    f->away = away;
    tell_redis(f, away ? "away" : "back");
    for (uint32_t i = 0; !away && i < f->accounts_count; i++)
        f->accounts[i].whole_hash = f->accounts[i].reduced_hash = 0; /* shows it again */
}

/* -- the clock -- */

static void keep_alive(struct feed_stream *s, uint64_t now_ns)
{
    struct visit *v = s->request->visit;

    if (!v || !visit_is_live(v))
        return;
    /* A peer that has left refuses what is sent to it; only then is the stream free for another. */
    if (now_ns - s->sent_ns >= COMMENT_NS || visit_peer_ended(v))
        s->comment_due = true;
    feed_wake(s);
}

static void on_tick(void *ctx)
{
    struct feed *f = ctx;
    uint64_t now_ns = clock_mono_ns();

    if (!f->streams_count)
        return;
    timer_start_at(f->tick, now_ns + FEED_TICK_NS);
    look_at_redis(f);
    feed_jobs_tick(f);
    if (!f->away)
        feed_state_ask(f);
    list_each_safe(node, next, &f->streams)
        keep_alive(list_entry(node, struct feed_stream, link), now_ns);
}

/* -- streams -- */

const struct config_account *feed_config_of(const struct feed_account *a)
{
    const struct config *c = a->feed->in->config;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (strcmp(c->accounts[i].name, a->name) == 0)
            return &c->accounts[i];
    must(!"every configuration has the same accounts");
    return NULL;
}

static void look_at_accounts(struct feed_stream *s)
{
    struct feed *f = s->feed;

    for (uint32_t i = 0; i < f->accounts_count; i++) {
        struct feed_account *a = &f->accounts[i];

        a->listeners -= s->sees[i];
        s->sees[i] = (!s->only || strcmp(s->only, a->name) == 0) &&
                     auth_may_account(s->request->who, feed_config_of(a));
        a->listeners += s->sees[i];
        s->seen[i] = 0;
    }
}

struct feed_stream *feed_open(struct feed *f, struct request *e, unsigned kinds,
                              const struct config_account *account)
{
    struct feed_stream *s = alloc_zeroed(1, sizeof(*s));
    struct feed_frame *retry = feed_frame_retry(RETRY_MS);
    uint64_t now_ns = clock_mono_ns();

    must(!f->stopping);
    *s = (struct feed_stream){.feed = f, .request = e, .kinds = kinds};
    s->sees = alloc_zeroed(f->accounts_count, sizeof(*s->sees));
    s->seen = alloc_zeroed(f->accounts_count, sizeof(*s->seen));
    for (uint32_t i = 0; i < f->accounts_count && account; i++)
        if (strcmp(f->accounts[i].name, account->name) == 0)
            s->only = f->accounts[i].name;
    s->allowance = FEED_STATUS_BURST;
    s->allowed_ns = s->sent_ns = now_ns;
    list_push_back(&f->streams, &s->link);
    look_at_accounts(s);
    feed_queue_put(&s->queue, retry);
    feed_frame_drop(retry);
    s->queue.pulled = true; /* so that "retry" comes first */
    if (kinds & 1u << FEED_JOB)
        feed_jobs_begin(f);
    if (f->streams_count++ == 0) {
        f->away = false;
        f->second_ns = now_ns;
        timer_start_at(f->tick, 0);
    } else if (f->away) {
        struct feed_frame *away = feed_frame_new("redis", NULL, SPAN("{\"state\":\"away\"}"));

        feed_queue_put(&s->queue, away);
        feed_frame_drop(away);
    } else {
        feed_state_ask(f);
    }
    return s;
}

static void forget_all(struct feed *f)
{
    timer_stop(f->tick);
    feed_jobs_end(f);
    for (uint32_t i = 0; i < f->accounts_count; i++)
        feed_state_forget(&f->accounts[i]);
}

void feed_leave(struct feed_stream *s)
{
    struct feed *f = s->feed;

    for (uint32_t i = 0; i < f->accounts_count; i++)
        f->accounts[i].listeners -= s->sees[i];
    list_remove(&s->link);
    feed_queue_deinit(&s->queue);
    feed_frame_drop(s->last);
    free(s->sees);
    free(s->seen);
    free(s);
    if (--f->streams_count == 0)
        forget_all(f);
}

void feed_renew(struct feed_stream *s)
{
    look_at_accounts(s);
    if (!s->request->who->admin)
        s->kinds &= ~(1u << FEED_DEAD);
    feed_wake(s);
}

void feed_missed(struct feed_stream *s)
{
    feed_queue_miss(&s->queue);
}

void feed_end(struct feed_stream *s, const char *why, enum feed_again again)
{
    json_t *j;
    char *text;

    if (s->ending)
        return;
    j = json_pack("{sosb}", "why", json_text_of(why), "again", again == FEED_COME_AGAIN);
    text = json_text_line(j);
    s->ending = true;
    s->comment_due = false;
    s->last = feed_frame_new("end", NULL, span_str(text));
    json_decref(j);
    free(text);
    if (s->request->visit && visit_is_live(s->request->visit))
        visit_live_end(s->request->visit);
}

uint32_t feed_streams(const struct feed *f)
{
    return f->streams_count;
}

uint32_t feed_streams_of(const struct feed *f, const struct config_producer *who)
{
    uint32_t n = 0;

    list_each(node, &f->streams)
        n += strcmp(list_entry(node, struct feed_stream, link)->request->who->name, who->name) == 0;
    return n;
}

/* -- opening and closing -- */

struct feed *feed_new(struct http_server *in)
{
    const struct config *c = in->config;
    struct feed *f = alloc_zeroed(1, sizeof(*f));

    f->in = in;
    f->started_ms = clock_wall_ms();
    f->comment = feed_frame_comment("still here");
    f->tick = timer_new(in->loop, on_tick, f);
    list_init(&f->streams);
    f->accounts_count = c->accounts_count;
    f->accounts = alloc_zeroed(f->accounts_count, sizeof(*f->accounts));
    for (uint32_t i = 0; i < f->accounts_count; i++) {
        f->accounts[i].feed = f;
        f->accounts[i].name = alloc_str(c->accounts[i].name);
    }
    return f;
}

void feed_stop(struct feed *f)
{
    f->stopping = true;
    list_each_safe(node, next, &f->streams)
        feed_end(list_entry(node, struct feed_stream, link), "this instance stops",
                 FEED_COME_AGAIN);
}

void feed_close(struct feed *f, loop_cb *closed, void *ctx)
{
    must(!f->streams_count);
    timer_close(f->tick);
    f->tick = NULL;
    f->closed = closed;
    f->closed_ctx = ctx;
    if (!f->watches_closing)
        closed(ctx);
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    must(!f->looks);
    for (uint32_t i = 0; i < f->accounts_count; i++) {
        feed_state_forget(&f->accounts[i]);
        free(f->accounts[i].name);
    }
    free(f->accounts);
    feed_frame_drop(f->comment);
    free(f);
}
