/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "dispatch_internal.h"
#include "fastly.h"
#include "log.h"
#include "retry.h"

#define SERVICE_PAUSE_FIRST_NS NS_PER_S
#define SERVICE_PAUSE_MAX_NS (60 * NS_PER_S)
#define SERVICE_PAUSE_DOUBLINGS 6u

struct judged {
    struct dispatch *d;
    struct batch *b;
    const struct exchange *x;
    struct fastly_judgement j;
    bool missing[FASTLY_BATCH_MAX_KEYS];
    size_t missing_count;
    struct fastly_ids *ids;
    struct now now;
};

enum attempt { ATTEMPT_COUNTS, ATTEMPT_IS_FREE };

/* Retries failed targets later, together with the rest of their batch. Targets that have used up
 * their attempts become dead letters. */
static void retry_later(struct judged *v, struct list *targets, const char *reason,
                        enum attempt attempt)
{
    struct dispatch *d = v->d;
    uint32_t worst = 1;
    uint64_t delay_ms;

    list_each_safe(it, next, targets) {
        struct pending *t = pending_of(it);

        if (attempt == ATTEMPT_COUNTS)
            pending_tried(t);
        if (t->attempts > worst)
            worst = t->attempts;
        if (t->attempts < d->account->attempts)
            continue;
        list_remove(&t->link);
        job_end_bury(d, t, reason);
    }
    d->counts.retries++;
    if (list_empty(targets))
        return;
    delay_ms = retry_delay_ms(worst, v->j.wait_ms, &d->rng);
    log_debug("Targets will be retried later", "account=%s attempts=%u wait_ms=%llu why=\"%s\"",
              d->account->name, worst, (unsigned long long)delay_ms, reason);
    send_park(d, targets, v->b, reason, v->now.mono_ns + delay_ms * NS_PER_MS);
}

static void limit_keys(struct dispatch *d, uint32_t keys)
{
    if (lanes_limit_keys(&d->pace.lanes, keys))
        log_warn("Fastly accepts fewer keys per request than before; batches are made smaller",
                 "account=%s keys=%u", d->account->name, keys);
}

static bool may_be_verified(const struct dispatch *d)
{
    return d->account->verify.share || verification_pending(d->verification) ||
           window_verifies(&d->pace.window);
}

static void on_purged(struct judged *v)
{
    struct dispatch *d = v->d;
    uint32_t learned = batch_passed(v->b), i = 0;
    bool watched = may_be_verified(d);
    struct job_purge by = {v->x->started_ns, v->x->done_ns, v->b->form == FORM_ALL, SPAN("")};
    struct list again;
    struct list *node;

    list_init(&again);
    brake_good(&d->pace.brake, v->b->brake_epoch, d->account->max_in_flight);
    if (learned)
        limit_keys(d, (learned + 1) / 2);
    if (v->b->service != SERVICE_NONE)
        d->services[v->b->service].refusals = 0;
    while ((node = list_pop_front(&v->b->targets))) {
        by.id = v->ids->of[i];
        if (v->missing[i++])
            list_push_back(&again, node);
        else if (!watched || !verification_take(d->verification, pending_of(node), &by))
            job_end_purged(d, pending_of(node), &by);
    }
    by.id = v->ids->of[0];
    while ((node = list_pop_front(&v->b->absorbed)))
        job_end_purged(d, pending_of(node), &by);
    d->counts.missing += v->missing_count;
    if (!list_empty(&again))
        retry_later(v, &again, "the reply never named this key", ATTEMPT_COUNTS);
}

/* If there was room in the budget by our count, Fastly counts over less than our window, or another
 * client spends: less is sent at once from now on. Otherwise nothing is sent at once. */
static void learn(struct dispatch *d, enum ledger_kind ledger, uint64_t now_ns)
{
    if (!ledger_learn(d->ledgers, ledger, now_ns)) {
        ledger_drain(d->ledgers, ledger, now_ns);
        return;
    }
    d->counts.learnt++;
    log_warn("By our count there was room in the budget: from now on less is sent at once",
             "account=%s burst=%llu for_s=%u", d->account->name,
             (unsigned long long)ledger_burst(d->ledgers, ledger, now_ns),
             ledger == LEDGER_WRITE ? d->account->writes.per_s : d->account->budget.per_s);
}

/* The account is held for the last error: note_error has been called. */
static void note_hold(struct dispatch *d)
{
    snprintf(d->held_reason, sizeof(d->held_reason), "%s", d->last_error);
}

static void throttled(struct dispatch *d, enum ledger_kind ledger, uint32_t brake_epoch,
                      uint64_t wait_ms, uint64_t now_ns)
{
    if (!brake_hold(&d->pace.brake, BRAKE_THROTTLE, brake_epoch, wait_ms, now_ns))
        return;
    note_hold(d);
    log_warn("Fastly throttles this account (429); sending is held until it may continue",
             "account=%s wait_ms=%llu left_by_our_count=%llu", d->account->name,
             (unsigned long long)brake_wait_ms(&d->pace.brake, now_ns),
             (unsigned long long)ledger_left(d->ledgers, ledger, now_ns));
    learn(d, ledger, now_ns);
}

static void on_throttled(struct judged *v)
{
    v->d->counts.throttled++;
    throttled(v->d, v->b->ledger, v->b->brake_epoch, v->j.wait_ms, v->now.mono_ns);
    send_put_batch_back(v->d, v->b);
}

/* A connection that was closed while it was idle says nothing about the server. */
static bool was_idle(const struct exchange *x)
{
    return x->error == EXCHANGE_BROKEN && x->reused;
}

static void failed(struct dispatch *d, const struct fastly_judgement *j, uint32_t brake_epoch,
                   uint64_t now_ns)
{
    if (!brake_failure(&d->pace.brake, brake_epoch, j->wait_ms, now_ns))
        return;
    note_hold(d);
    log_error("Fastly cannot be reached or answers with errors; sending one request at a time "
              "until it is back",
              "account=%s why=\"%s\" next_try_ms=%llu", d->account->name, j->reason,
              (unsigned long long)brake_wait_ms(&d->pace.brake, now_ns));
}

static void on_retry(struct judged *v)
{
    struct dispatch *d = v->d;
    bool sent = v->x->error != EXCHANGE_UNSENT && v->x->error != EXCHANGE_BLOCKED;
    struct pending *first = pending_of(v->b->targets.next);

    /* The targets are sent again at once. */
    if (was_idle(v->x) && first->attempts == 0) {
        list_each(it, &v->b->targets)
            pending_tried(pending_of(it));
        send_put_batch_back(d, v->b);
        return;
    }
    failed(d, &v->j, v->b->brake_epoch, v->now.mono_ns);
    retry_later(v, &v->b->targets, v->j.reason, sent ? ATTEMPT_COUNTS : ATTEMPT_IS_FREE);
}

static void on_refused(struct judged *v)
{
    struct dispatch *d = v->d;
    struct batch *b = v->b, *half;

    brake_good(&d->pace.brake, b->brake_epoch, d->account->max_in_flight);
    if (b->count == 1) {
        job_end_bury(d, batch_pop(b), v->j.reason);
        return;
    }
    if (v->j.keys_limit && v->j.keys_limit < b->count) {
        limit_keys(d, v->j.keys_limit);
        send_put_batch_back(d, b);
        return;
    }
    d->counts.bisected++;
    half = batch_split(b);
    lanes_add_suspect(&d->pace.lanes, half);
    lanes_add_suspect(&d->pace.lanes, b);
}

static void token_refused(struct dispatch *d, const struct fastly_judgement *j, int status,
                          uint32_t brake_epoch, uint64_t now_ns)
{
    char remedy[600];

    config_token_remedy(d->account, remedy, sizeof(remedy));
    d->refused_status = status;
    if (!brake_hold(&d->pace.brake, BRAKE_TOKEN, brake_epoch, j->wait_ms, now_ns))
        return;
    note_hold(d);
    log_error("Fastly refuses the token: nothing is sent for this account, and its jobs are kept",
              "account=%s why=\"%s\" remedy=\"%s\"", d->account->name, j->reason, remedy);
}

static void on_auth(struct judged *v)
{
    token_refused(v->d, &v->j, v->x->status, v->b->brake_epoch, v->now.mono_ns);
    send_put_batch_back(v->d, v->b);
}

static void on_no_service(struct judged *v)
{
    struct dispatch *d = v->d;
    struct service_state *s = &d->services[v->b->service];
    uint64_t pause_ns = SERVICE_PAUSE_FIRST_NS
                        << (s->refusals < SERVICE_PAUSE_DOUBLINGS ? s->refusals
                                                                  : SERVICE_PAUSE_DOUBLINGS);

    brake_good(&d->pace.brake, v->b->brake_epoch, d->account->max_in_flight);
    pause_ns = min_u64(pause_ns, SERVICE_PAUSE_MAX_NS);
    if (s->refusals++ == 0)
        log_error(
            "Fastly does not know the service, or the token has no access to it; its purges wait",
            "account=%s service=%s why=\"%s\"", d->account->name,
            dispatch_service_id(d, v->b->service), v->j.reason);
    lanes_pause_service(&d->pace.lanes, v->b->service, v->now.mono_ns + pause_ns);
    v->j.wait_ms = pause_ns / NS_PER_MS;
    retry_later(v, &v->b->targets, v->j.reason, ATTEMPT_COUNTS);
}

static void on_denied(struct judged *v)
{
    brake_good(&v->d->pace.brake, v->b->brake_epoch, v->d->account->max_in_flight);
    while (v->b->count)
        job_end_bury(v->d, batch_pop(v->b), v->j.reason);
}

static void (*const on_verdict[])(struct judged *v) = {
    [VERDICT_PURGED] = on_purged, [VERDICT_THROTTLED] = on_throttled,
    [VERDICT_RETRY] = on_retry,   [VERDICT_REFUSED] = on_refused,
    [VERDICT_AUTH] = on_auth,     [VERDICT_NO_SERVICE] = on_no_service,
    [VERDICT_DENIED] = on_denied,
};

void verdict_judge(const struct fastly_ask *ask, const struct exchange *x, uint64_t wall_ms,
                   struct fastly_judgement *j, bool *missing, size_t *missing_count,
                   struct fastly_ids *ids)
{
    struct fastly_reply reply = {.status = x->error == EXCHANGE_OK ? x->status : 0,
                                 .body = buf_span(&x->reply),
                                 .retry_after = span_str(x->retry_after),
                                 .rate_remaining = span_str(x->rate_remaining),
                                 .rate_reset = span_str(x->rate_reset)};

    fastly_judge(ask, &reply, wall_ms, j, missing, missing_count, ids);
    if (x->error != EXCHANGE_OK)
        log_quote(j->reason, sizeof(j->reason), x->error_text, strlen(x->error_text));
    if (x->error == EXCHANGE_BLOCKED && ask->kind == TARGET_URL && ask->url_mode == URL_MODE_DIRECT)
        j->verdict = VERDICT_DENIED;
}

static void note_error(struct dispatch *d, const struct fastly_judgement *j, uint64_t now_ns)
{
    snprintf(d->last_error, sizeof(d->last_error), "%s", j->reason);
    d->last_error_ns = now_ns;
}

/* A 403 may be about this service alone, which the token must not purge: it holds nothing, and says
 * nothing good either. */
void verdict_single(struct dispatch *d, const struct verdict_single *s,
                    const struct fastly_judgement *j, uint64_t now_ns)
{
    const struct exchange *x = s->exchange;

    if (j->verdict == VERDICT_AUTH && x->status != 401)
        return;
    switch (j->verdict) {
    case VERDICT_THROTTLED:
        note_error(d, j, now_ns);
        throttled(d, s->ledger, s->brake_epoch, j->wait_ms, now_ns);
        break;
    case VERDICT_RETRY:
        if (was_idle(x))
            break;
        note_error(d, j, now_ns);
        failed(d, j, s->brake_epoch, now_ns);
        break;
    case VERDICT_AUTH:
        note_error(d, j, now_ns);
        token_refused(d, j, x->status, s->brake_epoch, now_ns);
        break;
    default: /* Fastly answers, whatever it thinks of this purge */
        brake_good(&d->pace.brake, s->brake_epoch, d->account->max_in_flight);
    }
}

void verdict_apply(struct dispatch *d, struct batch *b, const struct exchange *x, struct now now)
{
    struct fastly_ids ids;
    struct judged v = {.d = d, .b = b, .x = x, .ids = &ids, .now = now};
    enum brake_state before = d->pace.brake.state;
    struct span targets[FASTLY_BATCH_MAX_KEYS];
    struct fastly_ask ask;

    b->status = x->error == EXCHANGE_OK ? x->status : 0;
    send_ask_of(d, b, targets, &ask);
    verdict_judge(&ask, x, now.wall_ms, &v.j, v.missing, &v.missing_count, &ids);
    d->counts.verdicts[v.j.verdict]++;
    log_debug("Fastly answered",
              "account=%s verdict=%s status=%d targets=%u took_ms=%llu missing=%zu why=\"%s\"",
              d->account->name, verdict_names[v.j.verdict], x->status, b->count,
              (unsigned long long)((now.mono_ns - min_u64(b->sent_ns, now.mono_ns)) / NS_PER_MS),
              v.missing_count, v.j.reason);
    if (v.j.verdict != VERDICT_PURGED)
        note_error(d, &v.j, now.mono_ns);
    on_verdict[v.j.verdict](&v);
    fastly_ids_deinit(&ids);
    if (d->pace.brake.state != before)
        log_debug("The state of the brake has changed", "account=%s from=\"%s\" to=\"%s\"",
                  d->account->name, brake_state_names[before],
                  brake_state_names[d->pace.brake.state]);
}
