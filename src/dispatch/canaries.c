/* SPDX-License-Identifier: MIT */
#include "canaries.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "json_text.h"
#include "log.h"
#include "page.h"

#define PAGE_TIMEOUT_MS 10000u
/* The purges of all canaries take at most one in so many units of the budget, because they go
 * before jobs in the urgent lane, and with a small budget or many canaries none would be left for
 * these. */
#define PURGES_SHARE 10u

/* The page of a canary that is being fetched. */
struct canary_fetch {
    struct canaries *owner; /* NULL: it is gone */
    uint32_t index;
    uint64_t epoch; /* of the owner, when it began */
};

struct canary_item {
    char *name, *service, *service_id, *url, *key;
    struct canary canary;
};

struct canaries {
    struct dispatch *dispatch;
    struct canary_item *items;
    uint32_t count;
    uint64_t epoch;             /* what began in an earlier one has no result any more */
    struct canary_fetch *fetch; /* under way; only one at a time */
    uint32_t purges;            /* in flight */
    uint64_t may_purge_ns;      /* no purge before: see PURGES_SHARE */
    uint64_t tries[CANARY_KIND_N], failures[CANARY_KIND_N]; /* of canaries that are gone */
};

/* A purge of a canary on the wire: the exchange's ctx. */
struct canary_sending {
    struct canaries *owner;
    uint32_t index;
    uint64_t epoch;
    uint32_t brake_epoch;
    enum ledger_kind ledger;
    enum canary_kind kind;
    char *target, *service_id;
};

/* -- configuration -- */

static bool is_ours(const struct canaries *k, const struct config_canary *c)
{
    return !*c->account || strcmp(c->account, k->dispatch->account->name) == 0;
}

static struct canary_item item_of(const struct canaries *k, const struct config_canary *c,
                                  uint64_t now_ns)
{
    const struct config_service *s = config_service(k->dispatch->account, c->service);
    struct canary_item item = {.name = alloc_str(c->name), .url = alloc_str(c->url)};

    must(s != NULL); /* config_check */
    item.key = alloc_str(c->key);
    item.service_id = alloc_str(s->id);
    item.service = alloc_str(*s->name ? s->name : s->id);
    canary_init(&item.canary, c->every_s * NS_PER_S, now_ns);
    return item;
}

static bool same_item(const struct canary_item *a, const struct canary_item *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->service_id, b->service_id) == 0 &&
           strcmp(a->service, b->service) == 0 && strcmp(a->url, b->url) == 0 &&
           strcmp(a->key, b->key) == 0 && a->canary.period_ns == b->canary.period_ns;
}

static void drop_items(struct canary_item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(items[i].name);
        free(items[i].service);
        free(items[i].service_id);
        free(items[i].url);
        free(items[i].key);
    }
    free(items);
}

static void keep_counts(struct canaries *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        for (int kind = 0; kind < CANARY_KIND_N; kind++) {
            k->tries[kind] += k->items[i].canary.tries[kind];
            k->failures[kind] += k->items[i].canary.failures[kind];
        }
}

static void take_over(struct canaries *k, struct canary_item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t old = 0; old < k->count; old++)
            if (same_item(&items[i], &k->items[old])) {
                items[i].canary.state = k->items[old].canary.state;
                items[i].canary.since_ns = k->items[old].canary.since_ns;
                memcpy(items[i].canary.said, k->items[old].canary.said,
                       sizeof(items[i].canary.said));
            }
}

void canaries_configure(struct canaries *k, uint64_t now_ns)
{
    const struct config *c = k->dispatch->config;
    uint32_t most = c ? c->canaries_count : 0, count = 0;
    struct canary_item *items = alloc_zeroed(most + 1, sizeof(*items));

    for (uint32_t i = 0; i < most; i++)
        if (is_ours(k, &c->canaries[i]))
            items[count++] = item_of(k, &c->canaries[i], now_ns);
    take_over(k, items, count);
    keep_counts(k);
    drop_items(k->items, k->count);
    k->items = items;
    k->count = count;
    k->epoch++;
}

struct canaries *canaries_new(struct dispatch *d)
{
    struct canaries *k = alloc_zeroed(1, sizeof(*k));

    k->dispatch = d;
    canaries_configure(k, clock_mono_ns());
    return k;
}

void canaries_free(struct canaries *k)
{
    if (!k)
        return;
    must(canaries_idle(k));
    if (k->fetch)
        k->fetch->owner = NULL;
    drop_items(k->items, k->count);
    free(k);
}

void canaries_rest(struct canaries *k, uint64_t now_ns)
{
    keep_counts(k);
    for (uint32_t i = 0; i < k->count; i++)
        canary_init(&k->items[i].canary, k->items[i].canary.period_ns, now_ns);
    k->epoch++;
}

bool canaries_idle(const struct canaries *k)
{
    return k->purges == 0;
}

/* -- telling -- */

static void explain_item(const struct canary_item *i, struct canary_words *out)
{
    const struct canary_subject s = {.service = i->service, .url = i->url, .key = i->key};

    canary_explain(&i->canary, &s, out);
}

static void tell_change(const struct canaries *k, struct canary_item *i)
{
    const char *account = k->dispatch->account->name;
    struct canary_words w;
    char what[sizeof(w.what) * 2];

    if (!i->canary.changed)
        return;
    i->canary.changed = false;
    explain_item(i, &w);
    log_quote(what, sizeof(what), w.what, strlen(w.what));
    if (i->canary.state == CANARY_OK)
        log_info("A canary shows that purges work", "account=%s canary=%s what=\"%s\"", account,
                 i->name, what);
    else
        log_error("A canary shows that purges do not work",
                  "account=%s canary=%s state=%s what=\"%s\" remedy=\"%s\"", account, i->name,
                  canary_state_names[i->canary.state], what, w.advice);
}

/* -- looking -- */

static void on_canary_page(void *ctx, const struct page *p)
{
    struct canary_fetch *f = ctx;
    struct canaries *k = f->owner;
    struct canary_item *i;
    struct sighting seen;

    if (k && k->epoch == f->epoch) {
        i = &k->items[f->index];
        sighting_read(&seen, buf_span(&p->head));
        canary_looked(&i->canary, &(struct canary_look){.seen = *p->why ? NULL : &seen,
                                                        .has_key = sighting_has_key(
                                                            buf_span(&p->head), span_str(i->key)),
                                                        .why = p->why,
                                                        .began_ns = p->began_ns,
                                                        .ended_ns = p->ended_ns});
        tell_change(k, i);
    }
    if (k) {
        k->fetch = NULL;
        dispatch_wake(k->dispatch);
    }
    free(f);
}

static void look(struct canaries *k, uint32_t index, uint64_t now_ns)
{
    struct canary_fetch *f = alloc_zeroed(1, sizeof(*f));

    *f = (struct canary_fetch){.owner = k, .index = index, .epoch = k->epoch};
    k->fetch = f;
    canary_begin(&k->items[index].canary, now_ns);
    page_fetch(k->dispatch->options.loop, k->items[index].url, PAGE_TIMEOUT_MS, on_canary_page, f);
}

/* -- purging -- */

static struct fastly_ask ask_of(const struct canaries *k, const struct canary_sending *s,
                                struct span *target)
{
    const struct config_account *a = k->dispatch->account;

    *target = span_str(s->target);
    return (struct fastly_ask){.kind = s->kind == CANARY_BY_KEY ? TARGET_KEY : TARGET_URL,
                               .service = span_str(s->service_id),
                               .url_mode = a->url_mode,
                               .key_form = a->key_form,
                               .token_hosts = &a->direct_token_hosts,
                               .targets = target,
                               .targets_count = 1};
}

static void book_purge(struct dispatch *d, const struct canary_sending *s, const struct exchange *x,
                       uint64_t now_ns)
{
    if (x->error == EXCHANGE_UNSENT || x->error == EXCHANGE_BLOCKED)
        pace_grant(&d->pace, s->ledger, 1);
    else if (x->error == EXCHANGE_TIMEOUT)
        ledger_book_late(d->ledgers, s->ledger, 1, now_ns);
    else
        ledger_book(d->ledgers, s->ledger, 1, now_ns);
}

static struct fastly_judgement judge_reply(const struct canaries *k, const struct canary_sending *s,
                                           const struct exchange *x, uint64_t wall_ms)
{
    struct fastly_judgement j;
    struct fastly_ask ask;
    struct span target;
    struct fastly_ids ids;
    size_t missing_count = 0;
    bool missing;

    ask = ask_of(k, s, &target);
    verdict_judge(&ask, x, wall_ms, &j, &missing, &missing_count, &ids);
    fastly_ids_deinit(&ids);
    return j;
}

static void on_purge_reply(struct exchange *x)
{
    struct canary_sending *s = x->ctx;
    struct canaries *k = s->owner;
    struct dispatch *d = k->dispatch;
    struct now now = clock_now();
    struct fastly_judgement j = judge_reply(k, s, x, now.wall_ms);

    k->purges--;
    book_purge(d, s, x, now.mono_ns);
    verdict_single(d, &(struct verdict_single){x, s->ledger, s->brake_epoch}, &j, now.mono_ns);
    if (k->epoch == s->epoch) {
        canary_purged(&k->items[s->index].canary,
                      &(struct canary_purge){.judgement = &j,
                                             .status = x->error == EXCHANGE_OK ? x->status : 0,
                                             .began_ns = x->started_ns,
                                             .ended_ns = now.mono_ns});
        tell_change(k, &k->items[s->index]);
    }
    free(s->target);
    free(s->service_id);
    free(s);
    exchange_free(x);
    dispatch_wake(d);
}

static uint64_t share_pause_ns(const struct dispatch *d, enum ledger_kind ledger)
{
    struct budget_limits limits = budget_limits_of(d->account, ledger);

    return limits.window_ns / max_u64(minus_u64(limits.units, limits.headroom), 1) * PURGES_SHARE;
}

static void purge(struct canaries *k, uint32_t index, enum ledger_kind ledger, uint64_t now_ns)
{
    struct dispatch *d = k->dispatch;
    struct canary_item *i = &k->items[index];
    struct canary_sending *s = alloc_zeroed(1, sizeof(*s));
    struct exchange *x = exchange_new(d->endpoint, FASTLY_REPLY_MAX_BYTES);
    struct fastly_ask ask;
    struct span target;

    *s = (struct canary_sending){.owner = k,
                                 .index = index,
                                 .epoch = k->epoch,
                                 .brake_epoch = d->pace.brake.epoch,
                                 .ledger = ledger,
                                 .kind = i->canary.kind,
                                 .service_id = alloc_str(i->service_id)};
    s->target = alloc_str(s->kind == CANARY_BY_KEY ? i->key : i->url);
    ask = ask_of(k, s, &target);
    send_fill_in(d, &ask, x);
    x->ctx = s;
    x->answered = on_purge_reply;
    x->start_before_ns = d->lease_until_ns;
    canary_begin(&i->canary, now_ns);
    k->may_purge_ns = now_ns + share_pause_ns(d, ledger);
    pace_take_back(&d->pace, ledger, 1);
    k->purges++;
    senders_send(d->options.senders, x);
}

/* -- the tick -- */

static uint64_t purge_when_possible(struct canaries *k, uint32_t index, uint64_t now_ns)
{
    struct dispatch *d = k->dispatch;
    bool by_url = k->items[index].canary.kind == CANARY_BY_URL;
    enum ledger_kind ledger = by_url && d->account->budget.separate ? LEDGER_URL : LEDGER_PURGE;
    uint64_t when_ns = NEVER;

    if (now_ns < k->may_purge_ns)
        return k->may_purge_ns;
    ledger_ask(d->ledgers, ledger, LANE_URGENT, 1, now_ns, &when_ns);
    if (pace_granted(&d->pace, ledger) > 0)
        purge(k, index, ledger, now_ns);
    return when_ns;
}

/* While dispatch holds everything back, it knows why. */
static uint64_t tick_held(struct canaries *k, struct canary_item *i, uint64_t held_until_ns,
                          uint64_t now_ns)
{
    if (k->dispatch->pace.brake.cause != BRAKE_TOKEN)
        return held_until_ns;
    if (i->canary.step != CANARY_IDLE)
        canary_abandon(&i->canary, now_ns);
    canary_token_refused(&i->canary, k->dispatch->last_error, now_ns);
    tell_change(k, i);
    return max_u64(held_until_ns, i->canary.due_ns);
}

static uint64_t tick_item(struct canaries *k, uint32_t index, uint64_t now_ns)
{
    struct canary_item *i = &k->items[index];
    uint64_t held_until_ns, when_ns;
    enum canary_act act = canary_next(&i->canary, now_ns, &when_ns);

    if (act == CANARY_WAIT)
        return when_ns;
    held_until_ns = pace_held_until_ns(&k->dispatch->pace, now_ns);
    if (held_until_ns)
        return tick_held(k, i, held_until_ns, now_ns);
    if (act == CANARY_SEND)
        return purge_when_possible(k, index, now_ns);
    if (!k->fetch)
        look(k, index, now_ns);
    return NEVER;
}

uint64_t canaries_tick(struct canaries *k, uint64_t now_ns)
{
    uint64_t next = NEVER;

    if (!lease_may_send(k->dispatch, now_ns))
        return NEVER;
    for (uint32_t i = 0; i < k->count; i++)
        next = min_u64(next, tick_item(k, i, now_ns));
    return next;
}

/* -- for status and metrics -- */

uint64_t canaries_count(const struct canaries *k)
{
    return k->count;
}

uint64_t canaries_in(const struct canaries *k, enum canary_state state)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < k->count; i++)
        n += k->items[i].canary.state == state;
    return n;
}

uint64_t canaries_tries(const struct canaries *k, enum canary_kind kind)
{
    uint64_t n = k->tries[kind];

    for (uint32_t i = 0; i < k->count; i++)
        n += k->items[i].canary.tries[kind];
    return n;
}

uint64_t canaries_failures(const struct canaries *k, enum canary_kind kind)
{
    uint64_t n = k->failures[kind];

    for (uint32_t i = 0; i < k->count; i++)
        n += k->items[i].canary.failures[kind];
    return n;
}

static bool is_well(const struct canary_item *i)
{
    return i->canary.state == CANARY_OK || i->canary.state == CANARY_UNKNOWN;
}

json_t *canaries_json(const struct canaries *k, uint64_t now_ns)
{
    json_t *list = json_array();

    for (uint32_t n = 0; n < k->count && json_array_size(list) < CANARIES_SHOWN_MAX; n++) {
        const struct canary_item *i = &k->items[n];
        uint64_t for_ms = minus_u64(now_ns, i->canary.since_ns) / NS_PER_MS;
        struct canary_words w;

        if (is_well(i))
            continue;
        explain_item(i, &w);
        json_array_append_new(
            list, json_pack("{sososososIsoso}", "canary", json_text_of(i->name), "service",
                            json_text_of(i->service), "url", json_text_of(i->url), "state",
                            json_text_of(canary_state_names[i->canary.state]), "for_ms",
                            (json_int_t)for_ms, "what", json_text_of(w.what), "advice",
                            json_text_of(w.advice)));
    }
    return list;
}
