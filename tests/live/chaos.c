/* SPDX-License-Identifier: MIT
 * The real programs with random faults: two purgelines, a Redis on a small disk, a sandbox behind a
 * cable, and a producer. Anything that can die, hang, fill up or be cut does so at random. The
 * result is judged from outside, by the producer's own list and by the requests that the sandbox
 * received. The same seed causes the same faults, but their effects depend on the machine. */
#include "rig.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "rng.h"
#include "weather_disk.h"
#include "weather_fastly.h"
#include "weather_fence.h"
#include "weather_judge.h"
#include "weather_net.h"
#include "weather_traffic.h"

#define P "purgeline:{main}:"
#define INSTANCES 2u
#define JOBS_PER_S 400u
#define BUDGET 3000u
#define WINDOW_MS 10000u
#define DISK_MB 64u
#define LEASE_MS 10000u
#define HARVEST_EVERY_MS 500u
#define WATCH_EVERY_MS 100u
#define CALM_PATIENCE_MS 180000u

/* On average, about as much is pushed as can be sent, so after each fault the budget is the limit.
 */
#define ACCOUNT                                                                                    \
    "    budget: {purges: 3000, per_s: 10, burst: 1500}\n"                                         \
    "    timeout_ms: 2000\n"                                                                       \
    "    connect_timeout_ms: 1000\n"                                                               \
    "    attempts: 1000\n"

static uint64_t minutes = 2, seed;

/* -- state ------------------------------------------------------------------------------------ */

enum condition { UP, DOWN, ASLEEP };
enum slot { SLOT_REDIS = INSTANCES, SLOT_NET, SLOT_DISK, SLOT_FASTLY, SLOT_FASTLY_TOO, SLOT_N };

struct chaos {
    struct rig *rig;
    struct weather_net *net;
    struct weather_disk disk;
    bool has_disk, rewriting;
    struct traffic traffic;
    struct rng rng;
    uint64_t begin_ms, now_ms; /* monotonic */
    uint64_t until_ms[SLOT_N]; /* when this fault ends; 0: no fault */
    enum condition instance[INSTANCES];
    bool redis_down;
    struct weather_fastly fastly;
    struct fences fences;
    struct judge judge;
    int leader; /* -1: none or unknown */
    int last_leader;
    uint64_t leads_since_ms;
    uint64_t takeovers, next_event_ms, next_harvest_ms, next_watch_ms;
    uint64_t kills, naps, redis_kills, cuts_made, fills, faults;
};

__attribute__((format(printf, 2, 3))) static void tell(struct chaos *c, const char *fmt, ...)
{
    va_list ap;

    printf("%9.3f s  ", (double)(c->now_ms - c->begin_ms) / 1000);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static uint64_t between(struct chaos *c, uint64_t least, uint64_t most)
{
    return least + rng_below(&c->rng, most - least + 1);
}

static void lasts(struct chaos *c, unsigned slot, uint64_t ms)
{
    c->until_ms[slot] = c->now_ms + ms;
}

/* -- the instances ---------------------------------------------------------------------------- */

static void start(struct chaos *c, unsigned n)
{
    weather_net_enter(c->net);
    rig_start(c->rig, n);
    weather_net_leave(c->net);
    c->instance[n] = UP;
}

static void kill_instance(struct chaos *c, unsigned n)
{
    bool at_once = between(c, 0, 4) < 3;

    instance_kill(&c->rig->instances[n]);
    c->instance[n] = DOWN;
    c->kills++;
    fences_forget(&c->fences, (int)n);
    lasts(c, n, at_once ? 1 : between(c, 500, 8000));
    tell(c, "kill -9 of purgeline %u%s, back in %" PRIu64 " ms", n,
         c->leader == (int)n ? ", which led" : "", c->until_ms[n] - c->now_ms);
}

static void freeze_instance(struct chaos *c, unsigned n)
{
    bool beyond_its_lease = c->leader == (int)n && between(c, 0, 9) < 6;

    lasts(c, n, beyond_its_lease ? between(c, LEASE_MS + 1000, 15000) : between(c, 500, 5000));
    if (c->leader == (int)n)
        fences_sleep(&c->fences, (int)n, &c->rig->requests, c->leads_since_ms);
    instance_signal(&c->rig->instances[n], SIGSTOP);
    c->instance[n] = ASLEEP;
    c->naps++;
    tell(c, "SIGSTOP of purgeline %u%s for %" PRIu64 " ms", n,
         c->leader == (int)n ? ", which led" : "", c->until_ms[n] - c->now_ms);
}

static void wake_instance(struct chaos *c, unsigned n)
{
    fences_wake(&c->fences, (int)n);
    instance_signal(&c->rig->instances[n], SIGCONT);
    c->instance[n] = UP;
    tell(c, "SIGCONT of purgeline %u%s", n,
         c->leader >= 0 && c->leader != (int)n ? "; the other leads" : "");
}

static void begin_instance(struct chaos *c, unsigned n)
{
    if (between(c, 0, 9) < 7)
        kill_instance(c, n);
    else
        freeze_instance(c, n);
}

static void end_instance(struct chaos *c, unsigned n)
{
    if (c->instance[n] == ASLEEP)
        wake_instance(c, n);
    else
        start(c, n);
}

/* -- Redis and its disk ----------------------------------------------------------------------- */

/* Not while the disk is full: see begin_disk. */
static void begin_redis(struct chaos *c, unsigned slot)
{
    if (c->until_ms[SLOT_DISK])
        return;
    lasts(c, slot, between(c, 100, 3000));
    redis_server_kill(c->rig->redis);
    c->redis_down = true;
    c->redis_kills++;
    tell(c, "kill -9 of Redis, back in %" PRIu64 " ms", c->until_ms[slot] - c->now_ms);
}

/* The file is small, so that it is rewritten often. */
#define SMALL_FILES "CONFIG SET auto-aof-rewrite-min-size 8mb"

static void end_redis(struct chaos *c, unsigned slot)
{
    (void)slot;
    redis_server_restart(c->rig->redis);
    redis_server_do(c->rig->redis, SMALL_FILES);
    c->redis_down = false;
}

/* With appendfsync always, Redis exits when it cannot write (the embedded one is tested like that).
 * Most installations use everysec: then Redis confirms the first pushes before it notices that it
 * cannot write them, and keeps them in memory until it can. If it were killed in between, it would
 * lose confirmed pushes, which is not purgeline's fault and so not tested. */
static void begin_disk(struct chaos *c, unsigned slot)
{
    if (!c->has_disk || c->redis_down)
        return;
    lasts(c, slot, between(c, 1000, 6000));
    redis_server_do(c->rig->redis, "CONFIG SET appendfsync everysec");
    weather_disk_fill(&c->disk);
    c->fills++;
    tell(c, "the disk of Redis is full for %" PRIu64 " ms", c->until_ms[slot] - c->now_ms);
}

static bool redis_says(struct chaos *c, const char *a, const char *b)
{
    char *info = redis_server_str(c->rig->redis, "INFO persistence");
    bool ok = strstr(info, a) && strstr(info, b);

    free(info);
    return ok;
}

/* False if Redis has just started a rewrite by itself. */
static bool begins_rewriting(struct chaos *c)
{
    redisReply *reply = redis_server_try(c->rig->redis, "BGREWRITEAOF");
    bool ok = reply->type == REDIS_REPLY_STATUS;

    freeReplyObject(reply);
    return ok;
}

/* This ends when Redis has written the data that it kept in memory, and has rewritten its file.
 * After a short write, Redis 7.0 truncates the file (ftruncate) but continues at the old position,
 * because a file that a rewrite has created is not opened for appending (src/aof.c,
 * openNewIncrAofForAppend). The next start would read the resulting hole as "Bad file format" and
 * refuse the file. Another rewrite repairs it. */
static void end_disk(struct chaos *c, unsigned slot)
{
    if (c->disk.full) {
        weather_disk_free(&c->disk);
        c->rewriting = false;
        tell(c, "the disk has room again");
    }
    if (!c->rewriting && redis_says(c, "aof_last_write_status:ok", "aof_buffer_length:0\r") &&
        redis_says(c, "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0")) {
        c->rewriting = begins_rewriting(c);
    } else if (c->rewriting &&
               redis_says(c, "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0")) {
        c->rewriting = false;
        if (redis_says(c, "aof_last_bgrewrite_status:ok", "")) {
            redis_server_do(c->rig->redis, "CONFIG SET appendfsync always");
            return;
        }
    }
    lasts(c, slot, 50);
}

/* -- the network ------------------------------------------------------------------------------ */

static void begin_net(struct chaos *c, unsigned slot)
{
    enum weather_cut cut = (enum weather_cut)between(c, CUT_NONE + 1, CUT_N - 1);

    if (!c->net)
        return;
    lasts(c, slot, between(c, 300, 6000));
    weather_net_cut(c->net, cut);
    c->cuts_made++;
    tell(c, "the network is cut (%s) for %" PRIu64 " ms", weather_cut_names[cut],
         c->until_ms[slot] - c->now_ms);
}

static void end_net(struct chaos *c, unsigned slot)
{
    (void)slot;
    weather_net_cut(c->net, CUT_NONE);
}

/* -- Fastly ----------------------------------------------------------------------------------- */

static void begin_fastly(struct chaos *c, unsigned slot)
{
    const char *what = weather_fastly_begin(&c->fastly, slot - SLOT_FASTLY, &c->rng);

    if (!what)
        return;
    lasts(c, slot, between(c, 500, 5000));
    c->faults++;
    tell(c, "Fastly: %s for %" PRIu64 " ms", what, c->until_ms[slot] - c->now_ms);
}

static void end_fastly(struct chaos *c, unsigned slot)
{
    weather_fastly_end(&c->fastly, slot - SLOT_FASTLY);
}

/* -- faults ----------------------------------------------------------------------------------- */

static const struct {
    void (*begin)(struct chaos *c, unsigned slot);
    void (*end)(struct chaos *c, unsigned slot);
    unsigned often;
} kinds[SLOT_N] = {
    [0] = {begin_instance, end_instance, 3},
    [1] = {begin_instance, end_instance, 3},
    [SLOT_REDIS] = {begin_redis, end_redis, 1},
    [SLOT_NET] = {begin_net, end_net, 2},
    [SLOT_DISK] = {begin_disk, end_disk, 1},
    [SLOT_FASTLY] = {begin_fastly, end_fastly, 5},
    [SLOT_FASTLY_TOO] = {begin_fastly, end_fastly, 2},
};

static unsigned roll_slot(struct chaos *c)
{
    unsigned sum = 0, slot = 0;
    uint64_t dice;

    for (unsigned i = 0; i < SLOT_N; i++)
        sum += kinds[i].often;
    dice = rng_below(&c->rng, sum);
    while (dice >= kinds[slot].often)
        dice -= kinds[slot++].often;
    return slot;
}

static void end_what_is_over(struct chaos *c)
{
    for (unsigned slot = 0; slot < SLOT_N; slot++)
        if (c->until_ms[slot] && c->now_ms >= c->until_ms[slot]) {
            c->until_ms[slot] = 0;
            kinds[slot].end(c, slot);
        }
}

static void begin_what_is_next(struct chaos *c)
{
    unsigned slot;

    if (c->now_ms < c->next_event_ms)
        return;
    c->next_event_ms = c->now_ms + between(c, 300, 3500);
    slot = roll_slot(c);
    if (!c->until_ms[slot])
        kinds[slot].begin(c, slot);
}

/* -- watching --------------------------------------------------------------------------------- */

static void assert_nobody_left_by_himself(struct chaos *c)
{
    for (unsigned n = 0; n < INSTANCES; n++)
        if (c->instance[n] == UP && instance_has_ended(&c->rig->instances[n]))
            fail_msg("purgeline %u ended by itself with %d", n, c->rig->instances[n].code);
}

/* The lease contains the name of its holder: host/boot/namespace/pid/... */
static int holder(struct chaos *c, const char *lease)
{
    long pid = 0;

    if (sscanf(lease, "%*[^/]/%*[^/]/%*[^/]/%ld/", &pid) == 1)
        for (unsigned n = 0; n < INSTANCES; n++)
            if (c->rig->instances[n].pid == (pid_t)pid)
                return (int)n;
    return -1;
}

static void watch_leader(struct chaos *c)
{
    redisContext *redis = traffic_redis(&c->traffic);
    uint64_t seen_ms = clock_wall_ms();
    redisReply *reply = redis ? redisCommand(redis, "GET " P "lease") : NULL;
    int leader = reply && reply->type == REDIS_REPLY_STRING ? holder(c, reply->str) : -1;

    if (leader >= 0 && leader != c->last_leader) {
        c->leads_since_ms = seen_ms;
        c->takeovers += c->last_leader >= 0;
        c->last_leader = leader;
    }
    c->leader = leader;
    if (reply)
        freeReplyObject(reply);
    fences_watch(&c->fences, leader, seen_ms);
}

static void watch(struct chaos *c)
{
    c->now_ms = clock_mono_ns() / NS_PER_MS;
    assert_nobody_left_by_himself(c);
    requests_read(&c->rig->requests);
    if (c->redis_down)
        return;
    if (c->now_ms >= c->next_watch_ms) {
        c->next_watch_ms = c->now_ms + WATCH_EVERY_MS;
        watch_leader(c);
    }
    if (c->now_ms >= c->next_harvest_ms) {
        c->next_harvest_ms = c->now_ms + HARVEST_EVERY_MS;
        traffic_harvest(&c->traffic);
    }
}

/* -- the run ---------------------------------------------------------------------------------- */

static void storm(struct chaos *c)
{
    uint64_t ms = minutes * 60000, end_ms = c->begin_ms + ms;
    struct await patience = await_begin("its end", c->rig->requests.inotify, ms + 30000);

    while (c->now_ms < end_ms) {
        watch(c);
        end_what_is_over(c);
        begin_what_is_next(c);
        traffic_push(&c->traffic, c->now_ms);
        await_more(&patience);
    }
}

static bool is_calm(struct chaos *c)
{
    for (unsigned slot = 0; slot < SLOT_N; slot++)
        if (c->until_ms[slot])
            return false;
    return true;
}

static bool all_ended(struct chaos *c)
{
    return is_calm(c) && rig_is_empty(c->rig) &&
           redis_server_int(c->rig->redis, "ZCARD " P "postponed") == 0 &&
           c->traffic.open_count == 0;
}

/* Has no deadline of its own: the checks report whatever is left. */
static uint64_t calm(struct chaos *c)
{
    uint64_t begin_ms = c->now_ms, over_ms = begin_ms + CALM_PATIENCE_MS;
    struct await patience = await_begin("calm", c->rig->requests.inotify, CALM_PATIENCE_MS + 30000);

    for (unsigned slot = 0; slot < SLOT_N; slot++)
        if (c->until_ms[slot])
            c->until_ms[slot] = c->now_ms;
    tell(c, "calm; %u jobs are open", c->traffic.open_count);
    do {
        watch(c);
        end_what_is_over(c);
        await_more(&patience);
    } while (!all_ended(c) && c->now_ms < over_ms);
    tell(c, "%s", all_ended(c) ? "all jobs have ended" : "not all jobs have ended in time");
    return c->now_ms - begin_ms;
}

/* -- checks ----------------------------------------------------------------------------------- */

static void note_requests(struct chaos *c)
{
    const struct requests *r = &c->rig->requests;

    requests_read(&c->rig->requests);
    for (size_t i = 0; i < r->count; i++)
        traffic_note(&c->traffic, &r->at[i], weather_fastly_omitted(&c->fastly, &r->at[i]));
}

static void show_numbers(struct chaos *c, uint64_t peak, uint64_t calm_ms, unsigned fences)
{
    struct traffic *t = &c->traffic;
    struct requests *r = &c->rig->requests;
    double s = (double)minutes * 60;

    printf("weather   %" PRIu64 " kills and %" PRIu64 " naps of purgeline, %" PRIu64
           " changes of leader, %u sleeping leaders relieved and judged;\n"
           "          %" PRIu64 " kills of Redis, %" PRIu64 " full disks, %" PRIu64
           " cuts, %" PRIu64 " faults of Fastly\n",
           c->kills, c->naps, c->takeovers, fences, c->redis_kills, c->fills, c->cuts_made,
           c->faults);
    printf("jobs      %u accepted (%.0f a second), %u refused, %u whose reply was lost; %u purged, "
           "%u expired\n",
           t->accepted, t->accepted / s, t->refused, t->maybe, traffic_with_fate(t, FATE_PURGED),
           traffic_with_fate(t, FATE_EXPIRED));
    printf("requests  %zu: %zu 200, %zu 429, %zu 503, %zu 500, %zu given up by the client, %zu cut "
           "off or hung\n",
           r->count, requests_with_status(r, 200), requests_with_status(r, 429),
           requests_with_status(r, 503), requests_with_status(r, 500), requests_with_status(r, 499),
           requests_with_status(r, 0));
    printf("budget    at most %" PRIu64 " of %u in any %u s; %" PRIu64 " in all\n", peak, BUDGET,
           WINDOW_MS / 1000, requests_spent(r, 0, NEVER));
    printf("recovery  %.1f s from the end of the weather to the end of all jobs\n",
           (double)calm_ms / 1000);
}

static void judge_all(struct chaos *c, uint64_t calm_ms)
{
    uint64_t peak;
    unsigned fences = 0;

    note_requests(c);
    judge_jobs(&c->judge, c->rig, &c->traffic);
    peak = requests_peak(&c->rig->requests, WINDOW_MS);
    judge(&c->judge, peak <= BUDGET, "in no window is more spent than the budget");
    judge(&c->judge, fences_broken(&c->fences, &c->rig->requests, &fences) == 0,
          "a leader that overslept its lease sends nothing more");
    judge_instances(&c->judge, c->rig, INSTANCES);
    show_numbers(c, peak, calm_ms, fences);
}

/* -- opening and closing ---------------------------------------------------------------------- */

/* Prints and skips what the machine does not permit. */
static void open_places(struct chaos *c)
{
    const char *why = "no mount namespace (it takes root)";

    if (weather_mounts_hide() == 0) {
        c->has_disk = weather_disk_open(&c->disk, DISK_MB) == 0;
        c->net = weather_net_open(sandbox_api(c->rig->sandbox), &why);
    }
    if (!c->has_disk)
        printf("skipped: full disks, for there is no tmpfs of our own (it takes root)\n");
    if (!c->net)
        printf("skipped: cuts of the network, for there is %s\n", why);
}

static void open_all(struct chaos *c, void **state)
{
    c->rig = rig_open(state, ACCOUNT, "");
    c->leader = c->last_leader = -1;
    fences_init(&c->fences);
    weather_fastly_init(&c->fastly, c->rig->sandbox);
    c->rng.state = seed;
    open_places(c);
    if (c->has_disk) {
        redis_server_stop(c->rig->redis);
        c->rig->redis = redis_server_start("--dir", c->disk.folder);
        rig_configure(c->rig, ACCOUNT, "");
    }
    redis_server_do(c->rig->redis, SMALL_FILES);
    if (c->net)
        setenv("PURGELINE_API", weather_net_api(c->net), 1);
    traffic_open(&c->traffic, redis_server_unix_url(c->rig->redis), JOBS_PER_S, seed + 1);
    c->begin_ms = c->now_ms = clock_mono_ns() / NS_PER_MS;
    for (unsigned n = 0; n < INSTANCES; n++)
        start(c, n);
}

static void close_all(struct chaos *c)
{
    unsetenv("PURGELINE_API");
    traffic_close(&c->traffic);
    fences_deinit(&c->fences);
    weather_fastly_deinit(&c->fastly);
    rig_close(c->rig);
    weather_net_close(c->net);
    weather_disk_close(&c->disk);
}

/* A handler, because unlike SIG_IGN it is not inherited by the programs that we start. */
static void ignore(int signum)
{
    (void)signum;
}

static struct chaos the_chaos;

static void nothing_is_lost_and_the_budget_is_kept_in_any_weather(void **state)
{
    struct chaos *c = &the_chaos;
    uint64_t calm_ms;

    open_all(c, state);
    storm(c);
    calm_ms = calm(c);
    judge_all(c, calm_ms);
    printf("%u passed, %u failed; seed %" PRIu64 "\n", c->judge.passed, c->judge.failed, seed);
    assert_int_equal(c->judge.failed, 0);
    close_all(c);
}

static int clean_up(void **state)
{
    int rc = rig_teardown(state);

    if (the_chaos.net && getenv("PURGELINE_API"))
        weather_net_close(the_chaos.net);
    weather_disk_close(&the_chaos.disk);
    return rc;
}

static int usage(int code)
{
    fprintf(
        code ? stderr : stdout,
        "chaos - two purgelines, Redis and a sandbox in random weather\n\n"
        "    chaos [--minutes N] [--seed S]\n\n"
        "    --minutes N   how long the weather lasts (2)\n"
        "    --seed S      the same dice as that time; else the clock's\n\n"
        "Needs $PURGELINE_BIN, the program to try, and $SOURCE_DIR, the checkout.\n"
        "As root it also fills a disk (a tmpfs) and cuts a network (two namespaces) of its own.\n");
    return code;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_lost_and_the_budget_is_kept_in_any_weather, clean_up),
    };

    seed = clock_wall_ms();
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (more && strcmp(argv[i], "--minutes") == 0)
            minutes = strtoull(argv[++i], NULL, 10);
        else if (more && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else
            return usage(strcmp(argv[i], "--help") == 0 ? 0 : 2);
    }
    if (!minutes || !getenv("PURGELINE_BIN") || !getenv("SOURCE_DIR"))
        return usage(2);
    signal(SIGPIPE, ignore);
    setlinebuf(stdout);
    printf("chaos: %" PRIu64 " minutes, seed %" PRIu64 "\n", minutes, seed);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
