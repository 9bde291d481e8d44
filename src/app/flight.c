/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "alloc.h"
#include "fastly.h"
#include "log.h"
#include "retry.h"

/* One request on the wire. */
struct flight {
    struct list link;
    struct dispatch *dispatch;
    struct batch *batch;
};

#define SERVICE_PAUSE_FIRST_NS NS_PER_S
#define SERVICE_PAUSE_MAX_NS (60 * NS_PER_S)
#define SERVICE_PAUSE_DOUBLINGS 6u

/* -- the end of targets ---------------------------------------------------------------------- */

struct ending {
    struct dispatch *dispatch;
    enum fate fate; /* of the target */
    const char *reason;
    struct span target;
};

static struct scar *find_scar(struct dispatch *d, const struct window_job *job)
{
    for (uint32_t i = 0; i < d->scars_count; i++) {
        struct scar *s = &d->scars[i];

        if (s->id.ms == job->id_ms && s->id.seq == job->id_seq && s->lane == (enum lane)job->lane)
            return s;
    }
    return NULL;
}

static void add_scar(struct dispatch *d, const struct window_job *job, const struct ending *e)
{
    if (d->scars_count == SCARS_MAX || find_scar(d, job))
        return;
    d->scars = alloc_grow(d->scars, d->scars_count + 1, sizeof(*d->scars));
    d->scars[d->scars_count++] = (struct scar){.lane = (enum lane)job->lane,
                                               .id = {job->id_ms, job->id_seq},
                                               .reason = alloc_str(e->reason),
                                               .target = alloc_copy(e->target.p, e->target.n)};
}

static void drop_scar(struct dispatch *d, struct scar *s)
{
    free(s->reason);
    free(s->target);
    *s = d->scars[--d->scars_count];
}

static void count_end(struct dispatch *d, enum fate fate)
{
    switch (fate) {
    case FATE_PURGED:
        d->counts.jobs_purged++;
        break;
    case FATE_EXPIRED:
        d->counts.jobs_expired++;
        break;
    default:
        d->counts.jobs_dead++;
    }
}

static void on_job_end(void *ctx, const struct window_job *job)
{
    static const enum outcome outcomes[] = {[FATE_PURGED] = OUTCOME_PURGED,
                                            [FATE_EXPIRED] = OUTCOME_EXPIRED,
                                            [FATE_CANCELLED] = OUTCOME_CANCELLED,
                                            [FATE_DEAD] = OUTCOME_DEAD};
    struct ending *e = ctx;
    struct dispatch *d = e->dispatch;
    struct queue_settle item = {.lane = (enum lane)job->lane,
                                .id = {job->id_ms, job->id_seq},
                                .outcome = outcomes[job->fate],
                                .plain = job->plain,
                                .targets = job->targets};
    struct scar *scar;

    if (job->open > 0) {
        add_scar(d, job, e);
        return;
    }
    scar = job->fate == FATE_DEAD ? find_scar(d, job) : NULL;
    if (job->fate == (unsigned)e->fate) {
        item.reason = span_str(e->reason);
        item.target = e->fate == FATE_DEAD ? e->target : span_of(NULL, 0);
    }
    if (scar) {
        item.reason = span_str(scar->reason);
        item.target = span_str(scar->target);
    }
    settle_add(d->settle, &item);
    count_end(d, (enum fate)job->fate);
    if (scar)
        drop_scar(d, scar);
}

static void end_target(struct dispatch *d, struct pending *t, enum fate fate, const char *reason)
{
    char *bytes = alloc_copy(t->bytes, t->bytes_count);
    struct ending e = {d, fate, reason, span_of(bytes, t->bytes_count)};

    if (fate == FATE_PURGED)
        d->counts.targets_purged++;
    window_settle(&d->window, t, fate, on_job_end, &e);
    free(bytes);
}

static void bury(struct dispatch *d, struct pending *t, const char *reason)
{
    char quoted[160];

    log_warn("A purge is given up; its jobs go to the dead letters",
             "account=%s kind=%s target=\"%s\" attempts=%u why=\"%s\"", d->account->name,
             target_kind_names[t->kind], log_quote(quoted, sizeof(quoted), t->bytes, t->bytes_count),
             t->attempts, reason);
    end_target(d, t, FATE_DEAD, reason);
}

/* -- what comes back to wait ----------------------------------------------------------------- */

/* Last one first, so that at the front of their queue they stand in their old order. */
static void put_back(struct dispatch *d, struct list *targets)
{
    while (!list_empty(targets)) {
        struct pending *t = pending_of(targets->prev);

        list_remove(&t->link);
        window_return(&d->window, t);
    }
}

static void put_batch_back(struct dispatch *d, struct batch *b)
{
    put_back(d, &b->targets);
    b->count = 0;
}

/* Waits in `parked` until due; those that merged into newer ones are gone from it. */
static void park(struct dispatch *d, struct list *targets, const struct batch *like, uint64_t due_ns)
{
    struct batch *parked = batch_new(like->form, like->service, like->lane);
    struct list *node;

    while ((node = list_pop_front(targets))) {
        struct pending *t = window_delay(&d->window, pending_of(node));

        if (t)
            list_push_back(&parked->targets, &t->link);
    }
    heap_insert(&d->parked, &parked->due, due_ns);
}

static uint64_t unpark_due(struct dispatch *d, uint64_t now_ns)
{
    struct heap_node *node;

    while ((node = heap_min(&d->parked)) && node->key <= now_ns) {
        struct batch *b = container_of(node, struct batch, due);

        heap_remove(&d->parked, node);
        while (!list_empty(&b->targets))
            window_due(&d->window, pending_of(b->targets.next));
        batch_free(b);
    }
    return node ? node->key : NEVER;
}

/* -- sending --------------------------------------------------------------------------------- */

static const char *service_id(const struct dispatch *d, uint16_t service)
{
    return service == SERVICE_NONE ? "" : d->account->services[service].id;
}

static struct exchange *exchange_for(struct dispatch *d, const struct batch *b)
{
    static struct span targets[FASTLY_BATCH_MAX_KEYS]; /* one thread, one at a time */
    struct fastly_ask ask = {.kind = TARGET_KEY,
                             .service = span_str(service_id(d, b->service)),
                             .url_mode = d->account->url_mode,
                             .key_form = d->account->key_form,
                             .targets = targets};
    struct exchange *x = exchange_new(d->endpoint, FASTLY_REPLY_MAX_BYTES);
    struct fastly_request r;

    list_each(it, &b->targets) {
        const struct pending *t = pending_of(it);

        ask.kind = (enum target_kind)t->kind;
        ask.soft = t->soft;
        if (t->kind != TARGET_ALL)
            targets[ask.targets_count++] = pending_bytes(t);
    }
    fastly_request_init(&r);
    fastly_request_build(&r, d->account->api, &ask);
    x->method = r.method;
    x->url = r.url;
    x->header = r.header;
    x->body = r.body;
    x->soft = ask.soft;
    return x;
}

static void begin_purge_all(struct dispatch *d, struct batch *b)
{
    log_info("All of a service is being purged", "account=%s service=%s", d->account->name,
             service_id(d, b->service));
    d->lanes.all_busy[b->service] = true;
    lanes_take_keys(&d->lanes, b->service, &b->absorbed);
    list_each(it, &b->absorbed)
        window_sent(&d->window, pending_of(it));
}

static void send_batch(struct dispatch *d, struct batch *b, uint64_t now_ns)
{
    struct flight *f = alloc_zeroed(1, sizeof(*f));
    struct exchange *x;

    if (b->form == FORM_ALL)
        begin_purge_all(d, b);
    x = exchange_for(d, b);
    x->ctx = f;
    x->start_before_ns = d->lease_until_ns;
    f->dispatch = d;
    f->batch = b;
    list_push_back(&d->flights, &f->link);
    b->brake_epoch = d->brake.epoch;
    b->sent_ns = now_ns;
    purse_spend(d->purse, b->ledger, b->cost);
    lanes_account(&d->lanes, b->lane, b->cost);
    d->in_flight++;
    d->counts.requests++;
    if (b->form == FORM_KEYS || b->form == FORM_SOFT_KEYS) {
        d->counts.batches++;
        d->counts.batch_keys += b->count;
    }
    senders_send(d->options.senders, x);
}

/* Takes a picked batch's targets out of the window; those too late are ended here. */
static void depart(struct dispatch *d, struct batch *b, uint64_t wall_ms)
{
    bool from_queue = b->bisect == NULL; /* suspects left the table when they were first sent */

    list_each_safe(it, next, &b->targets) {
        struct pending *t = pending_of(it);

        if (from_queue)
            window_sent(&d->window, t);
        if (t->expires_ms == 0 || t->expires_ms > wall_ms)
            continue;
        list_remove(&t->link);
        b->count--;
        end_target(d, t, FATE_EXPIRED, "expired before it could be sent");
    }
    b->cost = lanes_cost(&d->lanes, b->form, b->count);
}

static struct batch *pick(struct dispatch *d, uint64_t now_ns, uint64_t *ready_ns)
{
    enum lane order[LANE_N];

    lanes_order(&d->lanes, order);
    for (int i = 0; i < LANE_N; i++) {
        struct batch *b =
            lanes_pick(&d->lanes, order[i], purse_granted(d->purse), now_ns, ready_ns);

        if (b)
            return b;
    }
    return NULL;
}

/* Asks for money for what waits, the urgent first. */
static uint64_t ask_purse(struct dispatch *d, uint64_t now_ns)
{
    uint64_t next = NEVER;

    for (int l = 0; l < LEDGER_N; l++) {
        uint64_t want = 0;

        for (int lane = 0; lane < LANE_N; lane++) {
            want += d->lanes.cost[lane][l];
            if (d->lanes.cost[lane][l])
                purse_ask(d->purse, (enum ledger)l, (enum lane)lane, want, now_ns, &next);
        }
    }
    return next;
}

uint64_t flight_tick(struct dispatch *d, struct now now)
{
    uint64_t next = unpark_due(d, now.mono_ns);
    uint32_t limit = brake_limit(&d->brake, d->account->max_in_flight, now.mono_ns);
    struct batch *b;

    if (!lead_may_send(d, now.mono_ns))
        return next;
    if (limit == 0)
        return min_u64(next, d->brake.until_ns);
    while (d->in_flight < limit && (b = pick(d, now.mono_ns, &next))) {
        depart(d, b, now.wall_ms);
        if (b->count)
            send_batch(d, b, now.mono_ns);
        else
            batch_free(b);
    }
    if (d->in_flight < limit)
        next = min_u64(next, ask_purse(d, now.mono_ns));
    return next;
}

void flight_forget_waiting(struct dispatch *d)
{
    struct heap_node *node;

    for (int lane = 0; lane < LANE_N; lane++) {
        struct list *suspects = &d->lanes.suspects[lane];

        while (!list_empty(suspects)) {
            struct batch *b = list_first(suspects, struct batch, link);

            list_remove(&b->link);
            d->lanes.cost[lane][b->ledger] -= lanes_cost(&d->lanes, b->form, b->count);
            put_batch_back(d, b);
            batch_free(b);
        }
    }
    while ((node = heap_min(&d->parked))) {
        struct batch *b = container_of(node, struct batch, due);

        heap_remove(&d->parked, node);
        while (!list_empty(&b->targets))
            window_due(&d->window, pending_of(b->targets.next));
        batch_free(b);
    }
}

/* -- verdicts -------------------------------------------------------------------------------- */

struct judged {
    struct dispatch *d;
    struct batch *b;
    const struct exchange *x;
    struct fastly_judgement j;
    bool missing[FASTLY_BATCH_MAX_KEYS];
    size_t missing_count;
    struct now now;
};

/* Sends that failed are tried again later, each in its batch's company; who has been tried often
 * enough is buried. */
static void retry_later(struct judged *v, struct list *targets, const char *reason, bool counts)
{
    struct dispatch *d = v->d;
    uint32_t worst = 1;
    uint64_t delay_ms;

    list_each_safe(it, next, targets) {
        struct pending *t = pending_of(it);

        if (counts && t->attempts < UINT8_MAX)
            t->attempts++;
        if (t->attempts > worst)
            worst = t->attempts;
        if (t->attempts < d->account->attempts)
            continue;
        list_remove(&t->link);
        bury(d, t, reason);
    }
    d->counts.retries++;
    if (list_empty(targets))
        return;
    delay_ms = retry_delay_ms(worst, v->j.wait_ms, &d->rng);
    park(d, targets, v->b, v->now.mono_ns + delay_ms * NS_PER_MS);
}

static void on_purged(struct judged *v)
{
    struct dispatch *d = v->d;
    uint32_t learned = batch_judged(v->b, true), i = 0;
    struct list again;
    struct list *node;

    list_init(&again);
    brake_good(&d->brake, v->b->brake_epoch, d->account->max_in_flight);
    if (learned && learned / 2 < d->lanes.options.batch_keys) {
        d->lanes.options.batch_keys = (learned + 1) / 2;
        log_warn("Fastly takes fewer keys at once than before; batches are made smaller",
                 "account=%s keys=%u", d->account->name, d->lanes.options.batch_keys);
    }
    if (v->b->service != SERVICE_NONE)
        d->services[v->b->service].refusals = 0;
    while ((node = list_pop_front(&v->b->targets))) {
        if (v->missing[i++])
            list_push_back(&again, node);
        else
            end_target(d, pending_of(node), FATE_PURGED, "");
    }
    while ((node = list_pop_front(&v->b->absorbed)))
        end_target(d, pending_of(node), FATE_PURGED, "");
    d->counts.missing += v->missing_count;
    if (!list_empty(&again))
        retry_later(v, &again, "the reply never named this key", true);
}

static void on_throttled(struct judged *v)
{
    struct dispatch *d = v->d;

    d->counts.throttled++;
    if (brake_hold(&d->brake, BRAKE_THROTTLE, v->b->brake_epoch, v->j.wait_ms, v->now.mono_ns))
        log_warn("Fastly says slow down; nothing is sent until it is over",
                 "account=%s wait_ms=%llu left_by_our_count=%llu", d->account->name,
                 (unsigned long long)((d->brake.until_ns - v->now.mono_ns) / NS_PER_MS),
                 (unsigned long long)purse_left(d->purse, v->b->ledger, v->now.mono_ns));
    purse_drain(d->purse, v->b->ledger, v->now.mono_ns);
    put_batch_back(d, v->b);
}

static void on_retry(struct judged *v)
{
    struct dispatch *d = v->d;
    bool sent = v->x->error != EXCHANGE_UNSENT;
    struct pending *first = pending_of(v->b->targets.next);

    /* An idle connection that the other side had closed says nothing about it: once more, at once. */
    if (v->x->error == EXCHANGE_BROKEN && v->x->reused && first->attempts == 0) {
        list_each(it, &v->b->targets)
            pending_of(it)->attempts++;
        put_batch_back(d, v->b);
        return;
    }
    if (brake_failure(&d->brake, v->b->brake_epoch, v->j.wait_ms, v->now.mono_ns))
        log_error("Fastly cannot be reached or answers with errors; one request at a time finds out "
                  "when it is back",
                  "account=%s why=\"%s\" next_try_ms=%llu", d->account->name, v->j.reason,
                  (unsigned long long)((d->brake.until_ns - v->now.mono_ns) / NS_PER_MS));
    retry_later(v, &v->b->targets, v->j.reason, sent);
}

static void on_refused(struct judged *v)
{
    struct dispatch *d = v->d;
    struct batch *b = v->b, *half;

    brake_good(&d->brake, b->brake_epoch, d->account->max_in_flight);
    if (b->count == 1) {
        bury(d, batch_pop(b), v->j.reason);
        return;
    }
    if (v->j.keys_limit && v->j.keys_limit < b->count) {
        d->lanes.options.batch_keys = v->j.keys_limit;
        log_warn("Fastly takes fewer keys at once than before; batches are made smaller",
                 "account=%s keys=%u", d->account->name, v->j.keys_limit);
        put_batch_back(d, b);
        return;
    }
    d->counts.bisected++;
    half = batch_split(b);
    lanes_add_suspect(&d->lanes, half);
    lanes_add_suspect(&d->lanes, b);
}

static void on_auth(struct judged *v)
{
    struct dispatch *d = v->d;

    if (brake_hold(&d->brake, BRAKE_TOKEN, v->b->brake_epoch, v->j.wait_ms, v->now.mono_ns))
        log_error("Fastly refuses the token: this account stands still, its jobs are kept. Give it a "
                  "valid token and reload (SIGHUP), or: purgeline resume",
                  "account=%s why=\"%s\"", d->account->name, v->j.reason);
    put_batch_back(d, v->b);
}

static void on_no_service(struct judged *v)
{
    struct dispatch *d = v->d;
    struct service_state *s = &d->services[v->b->service];
    uint64_t pause_ns = SERVICE_PAUSE_FIRST_NS
                        << (s->refusals < SERVICE_PAUSE_DOUBLINGS ? s->refusals
                                                                  : SERVICE_PAUSE_DOUBLINGS);

    brake_good(&d->brake, v->b->brake_epoch, d->account->max_in_flight);
    pause_ns = min_u64(pause_ns, SERVICE_PAUSE_MAX_NS);
    if (s->refusals++ == 0)
        log_error("Fastly knows no such service, or the token may not see it; its purges wait",
                  "account=%s service=%s why=\"%s\"", d->account->name,
                  service_id(d, v->b->service), v->j.reason);
    lanes_pause_service(&d->lanes, v->b->service, v->now.mono_ns + pause_ns);
    v->j.wait_ms = pause_ns / NS_PER_MS;
    retry_later(v, &v->b->targets, v->j.reason, true);
}

static void on_denied(struct judged *v)
{
    brake_good(&v->d->brake, v->b->brake_epoch, v->d->account->max_in_flight);
    while (v->b->count)
        bury(v->d, batch_pop(v->b), v->j.reason);
}

static void (*const on_verdict[])(struct judged *v) = {
    [VERDICT_PURGED] = on_purged,   [VERDICT_THROTTLED] = on_throttled,
    [VERDICT_RETRY] = on_retry,     [VERDICT_REFUSED] = on_refused,
    [VERDICT_AUTH] = on_auth,       [VERDICT_NO_SERVICE] = on_no_service,
    [VERDICT_DENIED] = on_denied,
};

static void judge(struct judged *v)
{
    const struct exchange *x = v->x;
    struct span targets[FASTLY_BATCH_MAX_KEYS];
    const struct pending *first = pending_of(v->b->targets.next);
    struct fastly_ask ask = {.kind = (enum target_kind)first->kind,
                             .service = span_str(service_id(v->d, v->b->service)),
                             .soft = first->soft,
                             .url_mode = v->d->account->url_mode,
                             .key_form = v->d->account->key_form,
                             .targets = targets};
    struct fastly_reply reply = {.status = x->error == EXCHANGE_OK ? x->status : 0,
                                 .body = buf_span(&x->reply),
                                 .retry_after = span_str(x->retry_after),
                                 .rate_remaining = span_str(x->rate_remaining),
                                 .rate_reset = span_str(x->rate_reset)};

    list_each(it, &v->b->targets)
        if (ask.kind != TARGET_ALL)
            targets[ask.targets_count++] = pending_bytes(pending_of(it));
    fastly_judge(&ask, &reply, v->now.wall_ms, &v->j, v->missing, &v->missing_count);
    if (x->error != EXCHANGE_OK)
        log_quote(v->j.reason, sizeof(v->j.reason), x->error_text, strlen(x->error_text));
    if (x->error == EXCHANGE_BLOCKED && ask.kind == TARGET_URL && ask.url_mode == URL_MODE_DIRECT)
        v->j.verdict = VERDICT_DENIED;
}

static void book(struct dispatch *d, const struct batch *b, const struct exchange *x, uint64_t now_ns)
{
    bool never_sent = x->error == EXCHANGE_UNSENT;

    if (never_sent)
        purse_unspend(d->purse, b->ledger, b->cost);
    else
        purse_book(d->purse, b->ledger, b->cost, now_ns);
}

void dispatch_on_reply(void *ctx, struct exchange *x)
{
    struct flight *f = x->ctx;
    struct dispatch *d = f->dispatch;
    struct batch *b = f->batch;
    struct judged v = {.d = d, .b = b, .x = x, .now = clock_now()};

    (void)ctx;
    list_remove(&f->link);
    free(f);
    d->in_flight--;
    d->counts.answers++;
    book(d, b, x, v.now.mono_ns);
    if (b->form == FORM_ALL)
        d->lanes.all_busy[b->service] = false;
    judge(&v);
    on_verdict[v.j.verdict](&v);
    put_back(d, &b->absorbed);
    if (list_empty(&b->link)) /* it is no suspect */
        batch_free(b);
    exchange_free(x);
    dispatch_wake(d);
}
