/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "fastly.h"
#include "log.h"

/* One request on the wire. */
struct sent_request {
    struct list link;
    struct dispatch *dispatch;
    struct batch *batch;
    struct exchange *x;
    uint64_t bytes; /* as counted in the dispatch's requests_bytes */
};

/* -- recycled requests ----------------------------------------------------------------------- */

/* URL exchanges are small and many, so they are recycled; key batches are neither. */
#define KEPT_MAX_BYTES 4096

#define REQUESTS_LEAST_BYTES ((uint64_t)128 * 1024)

/* Requests on the wire take memory in addition to their targets, a batch of keys up to 32 KiB. They
 * may take a sixteenth of the memory limit, divided among the accounts, and recycled requests may
 * take as much again. */
static uint64_t requests_max_bytes(const struct dispatch *d)
{
    return max_u64(memory_share_bytes(&d->memory, 16), REQUESTS_LEAST_BYTES);
}

static void count_bytes(struct dispatch *d, struct sent_request *r)
{
    const struct exchange *x = r->x;
    uint64_t bytes = sizeof(*r) + sizeof(*x) + x->url.room + x->header.room + x->body.room;

    d->requests_bytes += bytes - r->bytes;
    r->bytes = bytes;
}

static struct sent_request *sent_request_new(struct dispatch *d)
{
    struct list *node = list_pop_front(&d->spare);
    struct sent_request *r =
        node ? list_entry(node, struct sent_request, link) : alloc_zeroed(1, sizeof(*r));

    if (node) {
        r->x->endpoint = endpoint_hold(d->endpoint);
        d->spare_bytes -= r->bytes;
    } else {
        r->x = exchange_new(d->endpoint, FASTLY_REPLY_MAX_BYTES);
    }
    r->x->ctx = r;
    r->dispatch = d;
    return r;
}

static void sent_request_free(struct sent_request *r)
{
    r->dispatch->requests_bytes -= r->bytes;
    exchange_free(r->x);
    free(r);
}

/* Recycles the request if it is small. exchange_reset drops its endpoint; otherwise the old token
 * would stay in memory after a reload. */
static void sent_request_recycle(struct sent_request *r)
{
    const struct exchange *x = r->x;

    if (x->url.room + x->header.room + x->body.room + x->reply.room > KEPT_MAX_BYTES ||
        r->dispatch->spare_bytes >= requests_max_bytes(r->dispatch)) {
        sent_request_free(r);
        return;
    }
    exchange_reset(r->x);
    count_bytes(r->dispatch, r);
    r->dispatch->spare_bytes += r->bytes;
    list_push_front(&r->dispatch->spare, &r->link);
}

void send_forget_spare(struct dispatch *d)
{
    struct list *node;

    d->spare_bytes = 0;
    while ((node = list_pop_front(&d->spare)))
        sent_request_free(list_entry(node, struct sent_request, link));
}

/* -- targets that wait again ----------------------------------------------------------------- */

/* Starts with the last target, so that they keep their order at the front of their queue. */
static void put_back(struct dispatch *d, struct list *targets)
{
    while (!list_empty(targets)) {
        struct pending *t = pending_of(targets->prev);

        list_remove(&t->link);
        window_return(&d->pace.window, t);
    }
}

void send_put_batch_back(struct dispatch *d, struct batch *b)
{
    put_back(d, &b->targets);
    b->count = 0;
}

/* The targets wait in `parked` until due_ns. Targets that merge into newer ones are not parked. */
void send_park(struct dispatch *d, struct list *targets, const struct batch *like,
               const char *reason, uint64_t due_ns)
{
    struct batch *parked = batch_new(like->form, like->service, like->lane);
    struct list *node;

    while ((node = list_pop_front(targets))) {
        struct pending *t = window_delay(&d->pace.window, pending_of(node));

        if (t)
            list_push_back(&parked->targets, &t->link);
    }
    parked->status = like->status;
    parked->reason = reasons_hold(&d->reasons, reason);
    heap_insert(&d->parked, &parked->due, due_ns);
}

/* All its targets may be sent again. */
static void unpark(struct dispatch *d, struct heap_node *node)
{
    struct batch *b = container_of(node, struct batch, due);

    heap_remove(&d->parked, node);
    while (!list_empty(&b->targets))
        window_due(&d->pace.window, pending_of(b->targets.next));
    reasons_drop(&d->reasons, b->reason);
    batch_free(b);
}

static uint64_t unpark_due(struct dispatch *d, uint64_t now_ns)
{
    struct heap_node *node;

    while ((node = heap_min(&d->parked)) && node->key <= now_ns)
        unpark(d, node);
    return node ? node->key : NEVER;
}

/* -- sending --------------------------------------------------------------------------------- */

const char *dispatch_service_id(const struct dispatch *d, uint16_t service)
{
    return service == SERVICE_NONE ? "" : d->account->services[service].id;
}

void send_ask_of(const struct dispatch *d, const struct batch *b, struct span *targets,
                 struct fastly_ask *ask)
{
    *ask = (struct fastly_ask){.kind = TARGET_KEY,
                               .service = span_str(dispatch_service_id(d, b->service)),
                               .url_mode = d->account->url_mode,
                               .key_form = d->account->key_form,
                               .token_hosts = &d->account->direct_token_hosts,
                               .targets = targets};
    list_each(it, &b->targets) {
        const struct pending *t = pending_of(it);

        ask->kind = (enum target_kind)t->kind;
        ask->soft = t->soft;
        if (t->kind != TARGET_ALL)
            targets[ask->targets_count++] = pending_bytes(t);
    }
}

/* An IP address in direct_hosts was written by the operator; a host name may resolve to any
 * address. */
static enum exchange_peer peer_of(const struct fastly_request *r)
{
    struct span host, rest;

    if (!r->to_site)
        return EXCHANGE_API;
    url_split(buf_span(&r->url), &host, &rest);
    return host_is_address(host) ? EXCHANGE_CHOSEN : EXCHANGE_STRANGER;
}

void send_fill_in(const struct dispatch *d, const struct fastly_ask *ask, struct exchange *x)
{
    struct fastly_request r = {.url = x->url, .header = x->header, .body = x->body};

    fastly_request_build(&r, d->account->api, ask);
    x->method = r.method;
    x->url = r.url;
    x->header = r.header;
    x->body = r.body;
    x->soft = ask->soft;
    x->peer = peer_of(&r);
    x->show_token = r.show_token;
}

static void write_request(const struct dispatch *d, const struct batch *b, struct exchange *x)
{
    struct span targets[FASTLY_BATCH_MAX_KEYS];
    struct fastly_ask ask;

    send_ask_of(d, b, targets, &ask);
    send_fill_in(d, &ask, x);
}

/* A query may contain private data, so it is not logged. */
static void say_sent(const struct dispatch *d, const struct batch *b, const struct exchange *x)
{
    struct span url = url_without_query(buf_span(&x->url));
    struct span first = url_without_query(pending_bytes(pending_of(b->targets.next)));

    log_debug("Sending a request",
              "account=%s method=%s url=\"%.*s\" first=\"%.*s\" targets=%u cost=%llu lane=%s "
              "in_flight=%u",
              d->account->name, x->method, (int)url.n, url.p, (int)first.n, first.p, b->count,
              (unsigned long long)b->cost, lane_names[b->lane], d->pace.in_flight);
}

static void send_request(struct dispatch *d, struct batch *b)
{
    struct sent_request *r = sent_request_new(d);

    if (b->form == FORM_ALL)
        log_info("Sending a purge-all", "account=%s service=%s", d->account->name,
                 dispatch_service_id(d, b->service));
    write_request(d, b, r->x);
    count_bytes(d, r);
    r->x->start_before_ns = d->lease_until_ns;
    r->batch = b;
    list_push_back(&d->requests, &r->link);
    d->progress_ns = b->sent_ns;
    d->counts.requests[b->form]++;
    if (b->form == FORM_KEYS || b->form == FORM_SOFT_KEYS)
        d->counts.batch_keys += b->count;
    if (log_wants(LOG_DEBUG))
        say_sent(d, b, r->x);
    senders_send(d->options.senders, r->x);
}

static void reserve_in_redis(void *ctx, enum ledger_kind l, enum lane lane, uint64_t want,
                             uint64_t now_ns, uint64_t *when_ns)
{
    struct dispatch *d = ctx;

    ledger_ask(d->ledgers, l, lane, want, now_ns, when_ns);
}

static void end_expired(struct dispatch *d, struct list *expired)
{
    struct list *node;

    while ((node = list_pop_front(expired)))
        job_end_target(d, pending_of(node), OUTCOME_EXPIRED, "expired before it could be sent");
}

/* One request is always allowed. Replies free memory and request a tick. */
static bool has_memory(const struct dispatch *d)
{
    return d->pace.in_flight == 0 || d->requests_bytes - d->spare_bytes < requests_max_bytes(d);
}

uint64_t send_tick(struct dispatch *d, struct now now)
{
    uint64_t next = unpark_due(d, now.mono_ns);
    uint64_t held_until_ns = pace_held_until_ns(&d->pace, now.mono_ns);
    struct list expired;
    struct batch *b;

    if (!lease_may_send(d, now.mono_ns))
        return next;
    if (held_until_ns) {
        log_debug("Nothing is sent yet", "account=%s why=\"%s\" wait_ms=%llu in_flight=%u",
                  d->account->name, brake_cause_names[d->pace.brake.cause],
                  (unsigned long long)brake_wait_ms(&d->pace.brake, now.mono_ns),
                  d->pace.in_flight);
        return min_u64(next, held_until_ns);
    }
    pace_ask(&d->pace, reserve_in_redis, d, now.mono_ns, &next);
    while (has_memory(d) && (b = pace_pick(&d->pace, now, &expired, &next))) {
        end_expired(d, &expired);
        if (pace_begin(&d->pace, b, now.mono_ns))
            send_request(d, b);
    }
    return next;
}

bool send_is_under_way(const struct dispatch *d, const struct pending *t)
{
    list_each(request, &d->requests) {
        const struct batch *b = list_entry(request, struct sent_request, link)->batch;

        list_each(it, &b->targets) {
            const struct pending *other = pending_of(it);

            if (other->hash == t->hash && other->kind == t->kind &&
                (t->kind == TARGET_URL || other->service == t->service) &&
                target_same((enum target_kind)t->kind, pending_bytes(other), pending_bytes(t)))
                return true;
        }
    }
    return false;
}

void send_each_batch(const struct dispatch *d, send_batch_cb *cb, void *ctx)
{
    list_each(request, &d->requests)
        cb(ctx, list_entry(request, struct sent_request, link)->batch);
}

void send_forget_waiting(struct dispatch *d)
{
    struct heap_node *node;
    struct batch *suspect;

    while ((suspect = lanes_take_suspect(&d->pace.lanes))) {
        send_put_batch_back(d, suspect);
        batch_free(suspect);
    }
    while ((node = heap_min(&d->parked)))
        unpark(d, node);
}

/* -- replies --------------------------------------------------------------------------------- */

static void book(struct dispatch *d, const struct batch *b, const struct exchange *x,
                 uint64_t now_ns)
{
    bool never_sent = x->error == EXCHANGE_UNSENT || x->error == EXCHANGE_BLOCKED;

    if (never_sent)
        pace_refund(&d->pace, b);
    else if (x->error == EXCHANGE_TIMEOUT)
        ledger_book_late(d->ledgers, b->ledger, b->cost, now_ns);
    else
        ledger_book(d->ledgers, b->ledger, b->cost, now_ns);
}

static enum answer answer_of(const struct exchange *x)
{
    if (x->error != EXCHANGE_OK)
        return (enum answer)(ANSWER_UNSENT + (x->error - EXCHANGE_UNSENT));
    return x->status >= 100 && x->status < 600 ? (enum answer)(ANSWER_1XX + x->status / 100 - 1)
                                               : ANSWER_ODD;
}

/* A request with these targets was written at `start_ms`. A target counts only with its first
 * request. Keys absorbed by a purge-all have no request of their own. */
static void note_start(struct dispatch *d, const struct batch *b, uint64_t start_ms)
{
    struct histogram *h = &d->counts.to_wire[b->lane];

    list_each(it, &b->targets) {
        struct pending *t = pending_of(it);

        if (!t->started)
            histogram_add(h, start_ms > t->pushed_ms ? (start_ms - t->pushed_ms) * 1000 : 0);
        t->started = 1;
    }
}

static void note_answer(struct dispatch *d, const struct batch *b, const struct exchange *x,
                        struct now now)
{
    enum answer answer = answer_of(x);

    d->counts.answers[answer]++;
    d->progress_ns = now.mono_ns;
    d->wall_ms = now.wall_ms;
    if (answer == ANSWER_UNSENT || answer == ANSWER_BLOCKED)
        return;
    note_start(d, b, now.wall_ms - (now.mono_ns - min_u64(x->started_ns, now.mono_ns)) / NS_PER_MS);
    if (x->error == EXCHANGE_OK)
        histogram_add(&d->counts.reply[b->form],
                      (x->done_ns - min_u64(x->started_ns, x->done_ns)) / 1000);
}

void dispatch_on_reply(void *ctx, struct exchange *x)
{
    struct sent_request *r = x->ctx;
    struct dispatch *d = r->dispatch;
    struct batch *b = r->batch;
    struct now now = clock_now();

    (void)ctx;
    list_remove(&r->link);
    pace_end(&d->pace, b);
    note_answer(d, b, x, now);
    book(d, b, x, now.mono_ns);
    verdict_apply(d, b, x, now);
    put_back(d, &b->absorbed);
    if (list_empty(&b->link)) /* not a suspect */
        batch_free(b);
    sent_request_recycle(r);
    dispatch_wake(d);
}
