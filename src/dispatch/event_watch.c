/* SPDX-License-Identifier: MIT */
#include "event_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "events.h"
#include "log.h"
#include "reads.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define AUTHOR_MAX_BYTES ((size_t)64 * 1024)
#define OURS_MAX 4 /* tokens that were ours within the last hour */

enum watch_step { WATCH_REST, WATCH_COUNT, WATCH_COUNT_AUTHOR, WATCH_AUTHOR, WATCH_EVENTS };

struct found_event {
    char id[EVENTS_ID_ROOM];
    uint64_t at_ms; /* Unix time */
};

/* A question under way, to Redis or to Fastly. */
struct watch_call {
    struct event_watch *owner; /* NULL: it is gone */
    uint64_t epoch;            /* of the owner, when it began */
    uint64_t from_ms;
};

struct event_watch {
    struct dispatch *dispatch;
    enum watch_step step;
    struct watch_call *call; /* NULL: nothing is under way */
    uint64_t epoch;
    uint64_t next_ns;
    uint64_t led_ms; /* Unix time since which we have led; 0: we have not begun */
    bool renewed;    /* what is held for an earlier token is let go */
    struct event_author ours[OURS_MAX];
    uint32_t ours_count; /* the last one is that of our token, if it is known */
    bool author_known;
    bool knows;
    struct found_event found[EVENTS_MAX];
    uint32_t found_count;
    uint64_t unbooked; /* of the write budget */
};

struct event_watch *event_watch_new(struct dispatch *d)
{
    struct event_watch *w = alloc_zeroed(1, sizeof(*w));

    w->dispatch = d;
    return w;
}

void event_watch_free(struct event_watch *w)
{
    if (!w)
        return;
    if (w->call)
        w->call->owner = NULL;
    free(w);
}

static void drop_call(struct event_watch *w)
{
    if (w->call)
        w->call->owner = NULL;
    w->call = NULL;
    w->step = WATCH_REST;
}

void event_watch_rest(struct event_watch *w)
{
    drop_call(w);
    w->knows = false;
    w->next_ns = w->led_ms = 0;
    w->unbooked = 0;
}

void event_watch_renew(struct event_watch *w)
{
    event_watch_rest(w);
    w->author_known = false;
    w->renewed = true;
}

void event_watch_configure(struct event_watch *w)
{
    w->next_ns = 0;
}

static struct watch_call *begin_call(struct event_watch *w, enum watch_step step)
{
    struct watch_call *c = alloc_zeroed(1, sizeof(*c));

    c->owner = w;
    w->call = c;
    w->step = step;
    return c;
}

/* Returns the owner, or NULL if it has forgotten the call. */
static struct event_watch *end_call(struct watch_call *c)
{
    struct event_watch *w = c->owner;

    if (w)
        w->call = NULL;
    free(c);
    return w;
}

static void rest_until(struct event_watch *w, uint64_t wait_ms)
{
    w->step = WATCH_REST;
    w->next_ns = clock_mono_ns() + max_u64(wait_ms, 1000) * NS_PER_MS;
    dispatch_wake(w->dispatch);
}

static uint64_t every_ms(const struct event_watch *w)
{
    return (uint64_t)w->dispatch->account->reads.purge_alls_every_s * 1000;
}

/* -- what the log says ----------------------------------------------------------------------- */

static bool is_ours_event(const struct event_watch *w, const struct event *e)
{
    for (uint32_t i = 0; i < w->ours_count; i++)
        if (strcmp(w->ours[i].token, e->token) == 0)
            return true;
    return false;
}

static bool was_found(const struct event_watch *w, const struct event *e)
{
    for (uint32_t i = 0; i < w->found_count; i++)
        if (strcmp(w->found[i].id, e->id) == 0)
            return true;
    return false;
}

static void forget_old(struct event_watch *w, uint64_t wall_ms)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < w->found_count; i++)
        if (w->found[i].at_ms + HOUR_MS > wall_ms)
            w->found[kept++] = w->found[i];
    w->found_count = kept;
}

/* Fastly's limit for writes is one of each user: another user's purge-alls leave ours alone. Those
 * from before we led were booked by the leader before us, or will soon be an hour old.
 * https://www.fastly.com/documentation/reference/api/#rate-limiting */
static bool spends_ours(const struct event_watch *w, const struct event *e)
{
    const char *user = w->ours[w->ours_count - 1].user;

    return w->dispatch->account->allow_purge_all && *user && strcmp(user, e->user) == 0 &&
           e->at_ms >= w->led_ms;
}

static void take_found(struct event_watch *w, const struct event *e, uint64_t wall_ms)
{
    bool counts = spends_ours(w, e);

    if (w->found_count == EVENTS_MAX || is_ours_event(w, e) || was_found(w, e))
        return;
    memcpy(w->found[w->found_count].id, e->id, sizeof(e->id));
    w->found[w->found_count++].at_ms = e->at_ms;
    w->unbooked += counts;
    log_info("Somebody else has purged all of a service",
             "account=%s service=%s event=%s token=%s user=%s ago_s=%llu on_our_budget=%s",
             w->dispatch->account->name, e->service, e->id, e->token, e->user,
             (unsigned long long)(minus_u64(wall_ms, e->at_ms) / 1000), counts ? "yes" : "no");
}

static void take_events(struct event_watch *w, struct span body, uint64_t from_ms)
{
    struct event *events = alloc_zeroed(EVENTS_MAX, sizeof(*events));
    uint64_t wall_ms = clock_now().wall_ms;
    struct error err;
    size_t count = 0;

    w->knows = events_read(body, from_ms, events, &count, &err) == 0;
    if (!w->knows)
        log_debug("Fastly's event log cannot be read", "account=%s why=\"%s\"",
                  w->dispatch->account->name, err.text);
    forget_old(w, wall_ms);
    for (size_t i = 0; i < count; i++)
        take_found(w, &events[i], wall_ms);
    free(events);
    rest_until(w, every_ms(w));
}

/* -- asking Fastly --------------------------------------------------------------------------- */

static void ask_events(struct event_watch *w);

static void take_author(struct event_watch *w, struct span body)
{
    struct event_author author;

    if (events_read_author(body, &author) < 0) {
        rest_until(w, DAY_MS);
        return;
    }
    if (w->ours_count == OURS_MAX)
        memmove(w->ours, w->ours + 1, --w->ours_count * sizeof(*w->ours));
    w->ours[w->ours_count++] = author;
    w->author_known = true;
    ask_events(w);
}

static uint64_t wait_of(const struct exchange *x)
{
    struct fastly_reply reply = {.status = x->status,
                                 .retry_after = span_str(x->retry_after),
                                 .rate_remaining = span_str(x->rate_remaining),
                                 .rate_reset = span_str(x->rate_reset)};
    uint64_t wait_ms = fastly_wait_hint(&reply, clock_now().wall_ms);

    return wait_ms ? wait_ms : READ_HOLD_MS;
}

/* It is no news tomorrow that a token may not read the log: most may not. A 401 is trouble of the
 * account, which purges tell. */
static void take_refusal(struct event_watch *w, enum watch_step step, const struct exchange *x)
{
    struct dispatch *d = w->dispatch;
    bool answered = x->error == EXCHANGE_OK;

    w->knows = false;
    if (answered && x->status == 429) {
        queue_hold_reads(d->queue, step == WATCH_EVENTS ? READ_EVENTS : READ_API, wait_of(x));
        rest_until(w, wait_of(x));
    } else if (answered && x->status >= 402 && x->status < 500) {
        log_debug("The token may not read Fastly's event log; purge-alls of others are not seen",
                  "account=%s status=%d", d->account->name, x->status);
        queue_hold_reads(d->queue, READ_EVENTS, DAY_MS);
        rest_until(w, DAY_MS);
    } else {
        rest_until(w, every_ms(w));
    }
}

static void on_watch_reply(struct exchange *x)
{
    struct watch_call *c = x->ctx;
    uint64_t from_ms = c->from_ms;
    struct event_watch *w = end_call(c);

    if (w && (x->error != EXCHANGE_OK || x->status != 200))
        take_refusal(w, w->step, x);
    else if (w && w->step == WATCH_AUTHOR)
        take_author(w, buf_span(&x->reply));
    else if (w)
        take_events(w, buf_span(&x->reply), from_ms);
    exchange_free(x);
}

static struct exchange *new_question(struct event_watch *w, enum watch_step step, size_t max_bytes)
{
    struct dispatch *d = w->dispatch;
    struct exchange *x = exchange_new(d->endpoint, max_bytes);

    x->ctx = begin_call(w, step);
    x->answered = on_watch_reply;
    x->method = "GET";
    x->peer = EXCHANGE_API;
    x->show_token = true;
    x->start_before_ns = d->lease_until_ns;
    buf_put(&x->url, span_str(d->account->api));
    return x;
}

static void ask_author(struct event_watch *w)
{
    struct exchange *x = new_question(w, WATCH_AUTHOR, AUTHOR_MAX_BYTES);

    buf_put(&x->url, SPAN("/tokens/self"));
    senders_send(w->dispatch->options.senders, x);
}

static void ask_events(struct event_watch *w)
{
    struct exchange *x = new_question(w, WATCH_EVENTS, EVENTS_MAX_BYTES);
    struct watch_call *c = x->ctx;

    c->from_ms = minus_u64(clock_now().wall_ms, HOUR_MS);
    events_put_path(&x->url, c->from_ms);
    senders_send(w->dispatch->options.senders, x);
}

/* -- counting before asking ------------------------------------------------------------------ */

static void count(struct event_watch *w, enum watch_step step);

static void on_counted(void *ctx, int err, const struct read_refusal *why)
{
    struct event_watch *w = end_call(ctx);

    if (!w)
        return;
    if (err)
        rest_until(w, err == -EAGAIN ? why->wait_ms : every_ms(w));
    else if (w->step == WATCH_COUNT && !w->author_known)
        count(w, WATCH_COUNT_AUTHOR);
    else if (w->step == WATCH_COUNT_AUTHOR)
        ask_author(w);
    else
        ask_events(w);
}

static void count(struct event_watch *w, enum watch_step step)
{
    queue_take_read(w->dispatch->queue, w->dispatch->account,
                    step == WATCH_COUNT ? READ_EVENTS : READ_API, on_counted, begin_call(w, step));
}

/* -- the tick -------------------------------------------------------------------------------- */

/* They are sent already, so they are booked whenever there is room. */
static uint64_t book_found(struct event_watch *w, uint64_t now_ns)
{
    struct dispatch *d = w->dispatch;
    uint64_t when_ns = NEVER, n;

    if (w->unbooked == 0)
        return NEVER;
    ledger_ask(d->ledgers, LEDGER_WRITE, LANE_URGENT, w->unbooked, now_ns, &when_ns);
    n = min_u64(pace_granted(&d->pace, LEDGER_WRITE), w->unbooked);
    if (n) {
        pace_take_back(&d->pace, LEDGER_WRITE, n);
        ledger_book(d->ledgers, LEDGER_WRITE, n, now_ns);
        w->unbooked -= n;
    }
    return when_ns;
}

uint64_t event_watch_tick(struct event_watch *w, struct now now)
{
    struct dispatch *d = w->dispatch;
    uint64_t next_ns, held_until_ns;

    if (every_ms(w) == 0 || !lease_may_send(d, now.mono_ns))
        return NEVER;
    if (w->renewed)
        queue_hold_reads(d->queue, READ_EVENTS, 0);
    w->renewed = false;
    next_ns = book_found(w, now.mono_ns);
    if (w->step != WATCH_REST)
        return next_ns;
    held_until_ns = pace_held_until_ns(&d->pace, now.mono_ns);
    if (held_until_ns || now.mono_ns < w->next_ns)
        return min_u64(next_ns, max_u64(held_until_ns, w->next_ns));
    if (w->led_ms == 0)
        w->led_ms = now.wall_ms / 1000 * 1000; /* the log has whole seconds */
    count(w, WATCH_COUNT);
    return next_ns;
}

bool event_watch_knows(const struct event_watch *w)
{
    return w->knows && every_ms(w);
}

uint64_t event_watch_found(const struct event_watch *w, uint64_t wall_ms)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < w->found_count; i++)
        n += w->found[i].at_ms + HOUR_MS > wall_ms;
    return n;
}
