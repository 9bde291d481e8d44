/* SPDX-License-Identifier: MIT */
#include "fastly_fake.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_sender.h"
#include "instance.h"

struct forced {
    struct list link;
    struct answer answer;
    uint32_t times;
};

struct counted { /* by its own budget */
    uint64_t at_ns, cost;
};

struct fastly_weather fastly_weather;
struct fastly_watch fastly_watch;

static struct {
    struct list unanswered, unseen, forced;
    uint32_t unseen_count;
    bool keep_unseen;
    uint64_t number;
    struct counted *counted;
    size_t counted_first, counted_count, counted_room;
    uint64_t spent;
} ff;

void fastly_fake_begin(void)
{
    memset(&ff, 0, sizeof(ff));
    fastly_weather = (struct fastly_weather){0};
    fastly_watch = (struct fastly_watch){0};
    fake_wire = (struct fake_wire){0};
    list_init(&ff.unanswered);
    list_init(&ff.unseen);
    list_init(&ff.forced);
}

static void forget(struct request *r)
{
    if (!list_empty(&r->link)) {
        list_remove(&r->link);
        request_drop(r);
    }
}

void fastly_fake_end(void)
{
    while (!list_empty(&ff.unseen))
        fastly_fake_look(list_first(&ff.unseen, struct request, seen));
    while (!list_empty(&ff.unanswered))
        forget(list_first(&ff.unanswered, struct request, link));
    while (!list_empty(&ff.forced)) {
        struct forced *f = list_first(&ff.forced, struct forced, link);

        list_remove(&f->link);
        free(f);
    }
    free(ff.counted);
    ff.counted = NULL;
}

/* -- reading a request -- */

static bool cut_prefix(struct span *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s->n < n || memcmp(s->p, prefix, n) != 0)
        return false;
    *s = span_of(s->p + n, s->n - n);
    return true;
}

static bool cut_suffix(struct span *s, const char *suffix)
{
    size_t n = strlen(suffix);

    if (s->n < n || memcmp(s->p + s->n - n, suffix, n) != 0)
        return false;
    s->n -= n;
    return true;
}

static struct fields *split_keys(struct span header)
{
    struct span *keys = alloc_bytes((header.n / 2 + 2) * sizeof(*keys));
    struct fields *f;
    struct span key;
    size_t n = 0;

    while (span_next_word(&header, ' ', &key))
        keys[n++] = key;
    f = fields_copy(keys, n);
    free(keys);
    return f;
}

static struct fields *json_keys(struct span body)
{
    json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    const json_t *list = json_object_get(root, "surrogate_keys");
    size_t count = json_array_size(list);
    struct span *keys = alloc_bytes((count + 1) * sizeof(*keys));
    struct fields *f;

    for (size_t i = 0; i < count; i++) {
        const json_t *key = json_array_get(list, i);

        keys[i] = span_of(json_string_value(key), json_string_length(key));
    }
    f = fields_copy(keys, count);
    free(keys);
    json_decref(root);
    return f;
}

static void read_service(struct request *r, struct span rest, struct span header, struct span body)
{
    bool all = cut_suffix(&rest, "/purge_all");

    r->unreadable = (!all && !cut_suffix(&rest, "/purge")) || !service_id_ok(rest);
    snprintf(r->service, sizeof(r->service), "%.*s", (int)min_u64(rest.n, 64), rest.p);
    r->kind = all ? TARGET_ALL : TARGET_KEY;
    if (all)
        r->targets = fields_copy(NULL, 0);
    else if (cut_prefix(&header, "Surrogate-Key: "))
        r->targets = split_keys(header);
    else
        r->targets = json_keys(body);
    r->unreadable = r->unreadable || (!all && r->targets->count == 0);
}

static uint64_t cost_of(const struct request *r, const struct config_account *a)
{
    bool per_key = r->kind == TARGET_KEY && a->budget.batch_cost == BATCH_COST_KEY;

    return per_key ? r->targets->count : 1;
}

struct request *request_read(const char *method, struct span url, struct span header,
                             struct span body, bool soft, const char *token, const struct config *c)
{
    struct request *r = alloc_zeroed(1, sizeof(*r));
    const struct config_account *a = config_account(c, token);
    struct span rest = url;

    must(a != NULL);
    list_init(&r->link);
    list_init(&r->seen);
    r->number = ++ff.number;
    r->holds = 1;
    r->soft = soft;
    snprintf(r->account, sizeof(r->account), "%s", token);
    if (strcmp(method, "PURGE") == 0 ||
        (cut_prefix(&rest, a->api) && cut_prefix(&rest, "/purge/"))) {
        r->kind = TARGET_URL;
        r->targets = fields_copy(&rest, 1);
    } else if (cut_prefix(&rest, "/service/")) {
        read_service(r, rest, header, body);
    } else {
        r->unreadable = true;
        r->targets = fields_copy(NULL, 0);
    }
    r->config = config_hold(c);
    r->cost = cost_of(r, a);
    return r;
}

void request_drop(struct request *r)
{
    if (--r->holds > 0)
        return;
    config_drop(r->config);
    free(r->targets);
    free(r);
}

/* -- its own count -- */

static void count(uint64_t cost)
{
    if (ff.counted_first + ff.counted_count == ff.counted_room) {
        if (ff.counted_first)
            memmove(ff.counted, ff.counted + ff.counted_first,
                    ff.counted_count * sizeof(*ff.counted));
        ff.counted_first = 0;
        if (ff.counted_count * 2 >= ff.counted_room) {
            ff.counted_room = ff.counted_room ? ff.counted_room * 2 : 64;
            ff.counted = alloc_grow(ff.counted, ff.counted_room, sizeof(*ff.counted));
        }
    }
    ff.counted[ff.counted_first + ff.counted_count++] = (struct counted){engine_now_ns(), cost};
    ff.spent += cost;
}

static void forget_old(void)
{
    uint64_t from = engine_now_ns() - fastly_weather.per_ns;

    while (ff.counted_count && ff.counted[ff.counted_first].at_ns <= from) {
        ff.spent -= ff.counted[ff.counted_first++].cost;
        ff.counted_count--;
    }
}

void fastly_fake_foreign(uint64_t cost)
{
    count(cost);
}

/* Seconds until so much is free again. */
static uint64_t free_in_s(uint64_t cost)
{
    uint64_t over = ff.spent + cost - fastly_weather.allows, i = ff.counted_first;
    uint64_t at = engine_now_ns();

    for (size_t n = 0; n < ff.counted_count && over > 0; n++, i++) {
        at = ff.counted[i].at_ns + fastly_weather.per_ns;
        over -= min_u64(over, ff.counted[i].cost);
    }
    return (at - engine_now_ns()) / NS_PER_S + 1;
}

static bool beyond_count(const struct request *r, struct answer *a)
{
    if (!fastly_weather.allows)
        return false;
    forget_old();
    if (ff.spent + r->cost <= fastly_weather.allows) {
        count(r->cost);
        return false;
    }
    a->status = 429;
    snprintf(a->retry_after, sizeof(a->retry_after), "%" PRIu64, free_in_s(r->cost));
    return true;
}

/* -- deciding -- */

static bool is_poisoned(const struct request *r)
{
    for (size_t i = 0; fastly_weather.poison[0] && i < r->targets->count; i++) {
        struct span t = r->targets->at[i];

        if (cut_prefix(&t, fastly_weather.poison))
            return true;
    }
    return false;
}

static bool by_chance(uint32_t permille)
{
    return permille && rng_below(engine_rng(), 1000) < permille;
}

static void decide_by_chance(struct request *r, struct answer *a)
{
    const struct fastly_weather *w = &fastly_weather;

    for (int f = FAULT_NONE + 1; f < FAULT_N; f++)
        if (by_chance(w->permille[f]))
            r->fault = (enum fault)f;
    if (by_chance(w->permille_429))
        a->status = 429;
    else if (by_chance(w->permille_503))
        a->status = 503;
    else if (by_chance(w->permille_omit))
        a->omit_count = 1 + (uint32_t)rng_below(engine_rng(), r->targets->count);
    if (a->status != 200 && by_chance(w->permille_hint))
        snprintf(a->retry_after, sizeof(a->retry_after), "%" PRIu64,
                 1 + rng_below(engine_rng(), 5));
}

static void decide(struct request *r, struct answer *a)
{
    const struct fastly_weather *w = &fastly_weather;
    uint32_t limit = w->keys_limit ? w->keys_limit : 256;

    *a = (struct answer){.status = 200};
    if (r->unreadable)
        a->status = 404;
    else if (w->token_refused)
        a->status = 401;
    else if (beyond_count(r, a))
        return;
    else if (w->unknown_service[0] && strcmp(w->unknown_service, r->service) == 0)
        a->status = 404;
    else if (is_poisoned(r))
        a->status = 400;
    else if (r->targets->count > limit)
        *a = (struct answer){.status = 400, .keys_limit = w->limit_untold ? 0 : limit};
    else
        decide_by_chance(r, a);
}

static bool forced(struct answer *a)
{
    struct forced *f;

    if (list_empty(&ff.forced))
        return false;
    f = list_first(&ff.forced, struct forced, link);
    *a = f->answer;
    if (--f->times == 0) {
        list_remove(&f->link);
        free(f);
    }
    return true;
}

void fastly_fake_next(const struct answer *a, uint32_t times)
{
    struct forced *f = alloc_zeroed(1, sizeof(*f));

    f->answer = *a;
    f->times = times;
    list_push_back(&ff.forced, &f->link);
}

/* -- answering -- */

void fastly_fake_answer(struct request *r, const struct answer *a)
{
    if (a->how == ANSWER_STATUS)
        trace("request %" PRIu64 " is answered %d%s%s", r->number, a->status,
              a->retry_after[0] ? " retry-after=" : "", a->retry_after);
    else
        trace("request %" PRIu64 " is %s", r->number,
              a->how == ANSWER_RESET ? "cut off" : "never answered");
    fake_wire_answer(r, a);
    forget(r);
}

static void answer_now(void *ctx)
{
    struct request *r = ctx;
    struct answer a;

    if (!forced(&a))
        decide(r, &a);
    fastly_fake_answer(r, &a);
    request_drop(r);
}

static void think(struct request *r)
{
    const struct fastly_weather *w = &fastly_weather;
    uint64_t spread = w->think_max_ns - min_u64(w->think_max_ns, w->think_min_ns);

    r->holds++;
    list_remove(&r->link);
    request_drop(r);
    engine_at(engine_now_ns() + w->think_min_ns + rng_below(engine_rng(), spread), ENGINE_NOBODY,
              answer_now, r);
}

static const char *first_target(const struct request *r)
{
    return r->targets->count ? r->targets->at[0].p : "";
}

void fastly_fake_receive(struct request *r)
{
    static const char *const kinds[] = {
        [TARGET_KEY] = "keys", [TARGET_URL] = "url", [TARGET_ALL] = "all"};

    trace("request %" PRIu64 " of %s arrives: %s %s, %s=%.60s%s (%zu), cost %" PRIu64, r->number,
          instance_name(r->instance), r->service, r->soft ? "soft" : "hard", kinds[r->kind],
          first_target(r), r->targets->count > 1 ? "..." : "", r->targets->count, r->cost);
    if (r->unreadable)
        engine_fail("a request that Fastly cannot read: service \"%s\"", r->service);
    if (fastly_watch.arrived)
        fastly_watch.arrived(r);
    r->holds++;
    list_push_back(&ff.unanswered, &r->link);
    if (ff.keep_unseen) {
        r->holds++;
        list_push_back(&ff.unseen, &r->seen);
        ff.unseen_count++;
    }
    if (!fastly_weather.waits)
        think(r);
}

struct request *fastly_fake_unanswered(void)
{
    while (!list_empty(&ff.unanswered)) {
        struct request *r = list_first(&ff.unanswered, struct request, link);

        if (r->parcel)
            return r;
        forget(r);
    }
    return NULL;
}

void fastly_fake_answer_all(void)
{
    while (!list_empty(&ff.unanswered))
        think(list_first(&ff.unanswered, struct request, link));
}

/* -- for those who look -- */

struct request *fastly_fake_unseen(void)
{
    return list_empty(&ff.unseen) ? NULL : list_first(&ff.unseen, struct request, seen);
}

uint32_t fastly_fake_unseen_count(void)
{
    return ff.unseen_count;
}

void fastly_fake_look(struct request *r)
{
    list_remove(&r->seen);
    ff.unseen_count--;
    request_drop(r);
}

void fastly_fake_keep_unseen(bool keep)
{
    ff.keep_unseen = keep;
}
