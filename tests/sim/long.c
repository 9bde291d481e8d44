/* SPDX-License-Identifier: MIT */
#include "long.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "fake_redis.h"
#include "fake_sender.h"
#include "inside.h"
#include "instance.h"
#include "producer.h"
#include "world.h"

#define BUDGET 100000
#define HOUR_NS (3600 * NS_PER_S)

/* -- the world of all of them -- */

static void next_bulk_job(void *ctx, struct span *fields, size_t count)
{
    static char key[32];
    uint64_t *number = ctx;

    must(count == 4);
    fields[0] = SPAN("keys");
    fields[1] = span_of(key, (size_t)snprintf(key, sizeof(key), "page-%" PRIu64, (*number)++));
    fields[2] = SPAN("service");
    fields[3] = SPAN("news");
}

static void set(struct config *c, const char *name, const char *value)
{
    char err[200];

    if (world_config_set(c, name, value, err, sizeof(err)) < 0)
        base_abort(err, __FILE__, __LINE__);
}

static void begin(const char *window, uint64_t backlog, uint64_t *number)
{
    struct world_options o = {.seed = 1, .scope = WITNESS_COST, .config = world_config_new()};

    set(o.config, "window", window);
    set(o.config, "receipts", "none");
    set(o.config, "history_jobs", "0");
    world_begin(&o);
    fastly_weather.think_min_ns = 30 * NS_PER_MS;
    fastly_weather.think_max_ns = 150 * NS_PER_MS;
    fake_redis_weather.latency_max_ns = NS_PER_MS;
    *number = 0;
    fakeredis_backlog(fake_redis(), SPAN("purgeline:{main}:jobs:bulk"), backlog, 4, next_bulk_job,
                      number);
}

/* Ends the world. */
static int verdict(const char *what, uint32_t hours, uint32_t least_percent)
{
    struct witness_sums sums = *witness_sums();
    const char *failure = engine_failure();
    double used = (double)sums.cost / ((double)hours * BUDGET) * 100;
    bool good = !failure && used >= least_percent;

    printf("%s: %" PRIu64 " units in %u h, %.2f %% of the budget (at least %u %%), at most %" PRIu64
           " in any hour%s%s\n",
           what, sums.cost, hours, used, least_percent, sums.window_max, failure ? ": " : "",
           failure ? failure : "");
    if (failure)
        trace_dump();
    world_end();
    return good ? 0 : -1;
}

int long_day(uint32_t hours)
{
    uint64_t number;

    begin("20000", (uint64_t)hours * BUDGET + 100000, &number);
    world_start("first", "a");
    engine_run(ENGINE_START_NS + hours * HOUR_NS);
    return verdict("a permanent backlog", hours, 99);
}

/* -- bursts in every lane -- */

/* How long each lane got nothing while it had work, as Fastly saw it. */
static struct lane_watch {
    uint64_t pushed, arrived, since_ns, worst_ns;
} lane_watch[LANE_N];
static void (*witness_arrived)(const struct request *r);

static void watch_lanes(const struct request *r)
{
    static const char first_letters[LANE_N] = {'u', 'n', 'p'};

    witness_arrived(r);
    for (size_t i = 0; r->kind == TARGET_KEY && i < r->targets->count; i++)
        for (int lane = 0; lane < LANE_N; lane++) {
            struct lane_watch *l = &lane_watch[lane];

            if (r->targets->at[i].p[0] != first_letters[lane])
                continue;
            l->arrived++;
            l->worst_ns = max_u64(l->worst_ns, r->arrived_ns - l->since_ns);
            l->since_ns = r->arrived_ns;
        }
}

static void push_many(enum lane lane, const char *prefix, uint32_t count)
{
    struct lane_watch *l = &lane_watch[lane];
    char key[32];
    struct span fields[] = {SPAN("keys"), {key, 0}, SPAN("service"), SPAN("shop")};
    struct entry_id id;

    if (l->pushed == l->arrived)
        l->since_ns = engine_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        fields[1].n = (size_t)snprintf(key, sizeof(key), "%s-%" PRIu64, prefix, l->pushed++);
        must(producer_push("main", lane, fields, array_len(fields), &id));
    }
}

/* One urgent purge every few seconds; now and then thousands of them, or of normal ones. */
static void push_something(void)
{
    uint64_t dice = rng_below(engine_rng(), 1000);

    push_many(LANE_URGENT, "urgent", dice == 0 ? 3000 : 1);
    if (dice >= 990)
        push_many(LANE_NORMAL, "normal", (uint32_t)rng_below(engine_rng(), 30000));
}

static int tell_lanes(void)
{
    static const uint64_t patience_s[LANE_N] = {1, 10, 60};
    bool good = true;

    for (int i = 0; i < LANE_N; i++) {
        const struct lane_watch *l = &lane_watch[i];
        bool waits = l->pushed > l->arrived || i == LANE_BULK;
        uint64_t since_ns = waits ? engine_now_ns() - l->since_ns : 0;
        uint64_t worst_ns = max_u64(l->worst_ns, since_ns);

        printf("%s: %" PRIu64 " purges, at most %.3f s without any\n", lane_names[i], l->arrived,
               (double)worst_ns / 1e9);
        good &= worst_ns <= patience_s[i] * NS_PER_S;
    }
    return good ? 0 : -1;
}

int long_bursts(uint32_t hours)
{
    uint64_t number;
    int rc;

    begin("100000", (uint64_t)hours * BUDGET + 100000, &number);
    memset(lane_watch, 0, sizeof(lane_watch));
    lane_watch[LANE_BULK].since_ns = engine_now_ns();
    witness_arrived = fastly_watch.arrived;
    fastly_watch.arrived = watch_lanes;
    world_start("first", "a");
    engine_run(engine_now_ns() + 5 * NS_PER_S);
    while (engine_now_ns() < ENGINE_START_NS + hours * HOUR_NS && !engine_failure()) {
        push_something();
        engine_run(engine_now_ns() + rng_below(engine_rng(), 6 * NS_PER_S));
    }
    rc = tell_lanes();
    return verdict("a backlog and bursts", hours, 99) < 0 ? -1 : rc;
}

/* -- restarts -- */

static const char *leader(void)
{
    const char *name = inside_leader("main");

    return name ? name : "first";
}

/* The leader is killed; on every tenth minute its machine stays away until the other took over. */
static void minute(uint32_t n)
{
    bool failover = n % 10 == 9;
    char name[32];

    if (rng_below(engine_rng(), 20) == 0)
        push_many(LANE_NORMAL, "normal", (uint32_t)rng_below(engine_rng(), 30000));
    if (rng_below(engine_rng(), 40) == 0)
        push_many(LANE_URGENT, "urgent", (uint32_t)rng_below(engine_rng(), 30000));
    snprintf(name, sizeof(name), "%s", leader());
    world_kill(name);
    engine_run(engine_now_ns() + (failover ? 30 : 1) * NS_PER_S);
    world_start(name, name);
}

int long_restarts(uint32_t hours)
{
    uint64_t number;

    begin("20000", (uint64_t)hours * BUDGET + 100000, &number);
    world_start("first", "first");
    world_start("second", "second");
    for (uint32_t n = 0; n < hours * 60 && !engine_failure(); n++) {
        engine_run(ENGINE_START_NS + n * 60 * NS_PER_S + 37 * NS_PER_S);
        minute(n);
    }
    engine_run(ENGINE_START_NS + hours * HOUR_NS);
    return verdict("bursts, a restart every minute, a failover every ten", hours, 99);
}

/* -- urgent before millions -- */

static struct {
    uint64_t *pushed_ns, *took_ns;
    uint32_t count;
    void (*arrived)(const struct request *r); /* the witness' own */
} urgent;

static void on_arrived(const struct request *r)
{
    urgent.arrived(r);
    for (size_t i = 0; r->kind == TARGET_KEY && i < r->targets->count; i++) {
        unsigned n;

        if (sscanf(r->targets->at[i].p, "urgent-%u", &n) == 1 && urgent.took_ns[n] == NEVER)
            urgent.took_ns[n] = r->arrived_ns - urgent.pushed_ns[n];
    }
}

static void push_urgent(uint32_t n)
{
    char key[32];
    struct span fields[] = {SPAN("keys"), {key, 0}, SPAN("service"), SPAN("shop")};
    struct entry_id id;

    fields[1].n = (size_t)snprintf(key, sizeof(key), "urgent-%u", n);
    urgent.pushed_ns[n] = engine_now_ns();
    urgent.took_ns[n] = NEVER;
    must(producer_push("main", LANE_URGENT, fields, array_len(fields), &id));
}

static int compare_times(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

    return a < b ? -1 : a > b;
}

static int tell_urgent(uint32_t count)
{
    uint64_t p99;

    qsort(urgent.took_ns, count, sizeof(uint64_t), compare_times);
    p99 = urgent.took_ns[count * 99 / 100];
    printf(
        "%u urgent pushes: half on the wire within %.1f ms, 99 %% within %.1f ms, the last after "
        "%.1f ms\n",
        count, (double)urgent.took_ns[count / 2] / 1e6, (double)p99 / 1e6,
        (double)urgent.took_ns[count - 1] / 1e6);
    free(urgent.pushed_ns);
    free(urgent.took_ns);
    return p99 <= NS_PER_S ? 0 : -1;
}

int long_backlog(uint64_t bulk, uint32_t count)
{
    uint64_t number;
    int rc;

    begin("100000", bulk, &number);
    urgent.pushed_ns = alloc_zeroed(count, sizeof(uint64_t));
    urgent.took_ns = alloc_zeroed(count, sizeof(uint64_t));
    urgent.arrived = fastly_watch.arrived;
    fastly_watch.arrived = on_arrived;
    world_start("first", "a");
    engine_run(engine_now_ns() + 60 * NS_PER_S);
    for (uint32_t n = 0; n < count && !engine_failure(); n++) {
        engine_run(engine_now_ns() + rng_below(engine_rng(), 6 * NS_PER_S));
        push_urgent(n);
    }
    engine_run(engine_now_ns() + 10 * NS_PER_S);
    rc = tell_urgent(count);
    if (engine_failure())
        printf("%s\n", engine_failure());
    rc = engine_failure() ? -1 : rc;
    world_end();
    return rc;
}
