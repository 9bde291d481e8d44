/* SPDX-License-Identifier: MIT */
#include "fake_redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_queue.h"

struct waiter {
    struct list link;
    struct fake_account *account;
    bool lanes[LANE_N];
    struct entry_id seen[LANE_N];
    uint32_t most;
    struct event *until;
    waiter_cb *cb;
    void *ctx;
};

struct fake_redis_weather fake_redis_weather;
static struct fake_account accounts[FAKE_ACCOUNTS_MAX];
static uint32_t accounts_count;

void fake_redis_begin(void)
{
    fake_redis_weather = (struct fake_redis_weather){0};
    accounts_count = 0;
}

static void waiter_free(struct waiter *w)
{
    list_remove(&w->link);
    engine_cancel(w->until);
    free(w);
}

void fake_redis_end(void)
{
    for (uint32_t i = 0; i < accounts_count; i++) {
        struct list *waiters = &accounts[i].waiters;

        while (!list_empty(waiters))
            waiter_free(list_first(waiters, struct waiter, link));
        store_free(accounts[i].store);
    }
    accounts_count = 0;
}

static void on_added(void *ctx);

struct fake_account *fake_redis_account(const char *name)
{
    struct fake_account *a;

    for (uint32_t i = 0; i < accounts_count; i++)
        if (strcmp(accounts[i].store->account, name) == 0)
            return &accounts[i];
    must(accounts_count < FAKE_ACCOUNTS_MAX);
    a = &accounts[accounts_count++];
    a->store = store_new(name);
    a->store->added = on_added;
    a->store->ctx = a;
    a->serving = false;
    list_init(&a->waiters);
    return a;
}

struct fake_account *fake_redis_account_at(uint32_t i)
{
    return i < accounts_count ? &accounts[i] : NULL;
}

uint64_t fake_redis_delay(void)
{
    const struct fake_redis_weather *w = &fake_redis_weather;

    if (w->latency_max_ns <= w->latency_min_ns)
        return w->latency_min_ns;
    return w->latency_min_ns + rng_below(engine_rng(), w->latency_max_ns - w->latency_min_ns);
}

void fake_redis_leave(void)
{
    fake_redis_weather.away = true;
    fake_queue_break_all("Redis went away");
    for (uint32_t i = 0; i < accounts_count; i++) {
        struct list *waiters = &accounts[i].waiters;

        while (!list_empty(waiters))
            waiter_drop(list_first(waiters, struct waiter, link));
    }
}

void fake_redis_return(void)
{
    fake_redis_weather.away = false;
}

/* -- reads that wait -- */

static bool serve(struct waiter *w)
{
    struct fake_account *a = w->account;
    struct stream_entry **found = alloc_bytes((w->most + 1) * sizeof(struct stream_entry *));
    size_t n = 0;
    int lane = 0;

    for (; lane < LANE_N && n == 0; lane++)
        if (w->lanes[lane])
            n = store_read(a->store, (enum lane)lane, w->seen[lane], w->most, engine_redis_ms(),
                           found);
    if (n)
        w->cb(w->ctx, (enum lane)(lane - 1), found, n);
    free(found);
    return n > 0;
}

static void serve_all(void *ctx)
{
    struct fake_account *a = ctx;

    a->serving = false;
    list_each_safe(it, next, &a->waiters) {
        struct waiter *w = list_entry(it, struct waiter, link);

        if (serve(w))
            waiter_free(w);
    }
}

static void on_added(void *ctx)
{
    struct fake_account *a = ctx;

    if (a->serving || list_empty(&a->waiters))
        return;
    a->serving = true;
    engine_at(engine_now_ns(), ENGINE_NOBODY, serve_all, a);
}

static void on_waited(void *ctx)
{
    struct waiter *w = ctx;

    w->until = NULL;
    w->cb(w->ctx, LANE_URGENT, NULL, 0);
    waiter_free(w);
}

struct waiter *waiter_new(struct fake_account *a, const bool lanes[LANE_N],
                          const struct entry_id seen[LANE_N], uint32_t most, uint64_t until_ns,
                          waiter_cb *cb, void *ctx)
{
    struct waiter *w = alloc_zeroed(1, sizeof(*w));

    *w = (struct waiter){.account = a, .most = most, .cb = cb, .ctx = ctx};
    memcpy(w->lanes, lanes, sizeof(w->lanes));
    memcpy(w->seen, seen, sizeof(w->seen));
    w->until = engine_at(until_ns, ENGINE_NOBODY, on_waited, w);
    list_push_back(&a->waiters, &w->link);
    return w;
}

void waiter_drop(struct waiter *w)
{
    waiter_free(w);
}
