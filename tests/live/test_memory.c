/* SPDX-License-Identifier: MIT
 * The memory of the running program, as measured by the kernel, is limited (P7), whatever waits in
 * Redis and whatever clients do. Each of these inputs used memory without limit when only targets
 * were counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "await.h"
#include "buf.h"
#include "flood.h"
#include "instance.h"
#include "redis_server.h"
#include "sink.h"

#define P "purgeline:{main}:"
#define MIB ((uint64_t)1 << 20)
#define MEMORY_MAX (64 * MIB)
#define PROGRAM (16 * MIB) /* code, libraries and connections, without jobs and requests */
#define PATIENCE_MS 600000u
#define KEYS 10000
#define UNHEARD "listen: \"\"\n" /* without HTTP */

/* The numbers of jobs to push. `full` has those that once used 1 GiB, and takes minutes. */
static struct {
    unsigned wide, waiters, large;
} jobs = {60, 800, 12};
static const unsigned full_jobs[] = {1200, 3000, 60};

struct world {
    struct sink sink;
    struct redis_server *redis;
    struct instance instance;
    char config[128];
    uint64_t pushed;
    uint64_t peak; /* the highest memory so far */
    bool sanitized;
    bool flooded; /* jobs may be stored although clients were refused: more jobs may end */
};

/* -- measuring a daemon ---------------------------------------------------------------------- */

static void start(struct world *w, const char *global)
{
    static const char *const env[] = {"FASTLY_API_TOKEN=token", NULL};
    char log[128];
    FILE *f;

    snprintf(w->config, sizeof(w->config), "%s/memory.yaml", redis_server_folder(w->redis));
    snprintf(log, sizeof(log), "%s/memory.log", redis_server_folder(w->redis));
    f = fopen(w->config, "w");
    assert_non_null(f);
    fprintf(f,
            "redis: %s\nmemory_max: 64MiB\n%saccounts:\n  - name: main\n"
            "    api: %s\n    services: [{id: SU1Z0isxPaozGVKXdv0eY, name: news}]\n"
            "    budget: {purges: 1000000000, burst: 1000000000}\n",
            redis_server_url(w->redis), global, w->sink.url);
    assert_int_equal(fclose(f), 0);
    instance_start(&w->instance, w->config, env, log);
}

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));

    sink_start(&w->sink);
    w->redis = redis_server_start("--appendonly", "no"); /* fast enough for hundreds of MB */
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (w->instance.pid)
        instance_show(&w->instance);
    instance_deinit(&w->instance);
    redis_server_stop(w->redis);
    sink_stop(&w->sink);
    free(w);
    return 0;
}

/* Reads a number from /proc/<pid>/status, in bytes, and keeps the highest. */
static void look(struct world *w)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)w->instance.pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtoull(line + 8, NULL, 10);
    fclose(f);
    w->peak = max_u64(w->peak, kib * 1024);
}

static bool is_sanitized(const struct world *w)
{
    char path[64], line[512];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)w->instance.pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        found = found || strstr(line, "libasan") || strstr(line, "libtsan");
    fclose(f);
    return found;
}

/* A number from the leader's status, which it publishes every second; 0 if there is none. */
static uint64_t status(struct world *w, const char *name)
{
    char *text = redis_server_str(w->redis, "GET " P "status"), quoted[64];
    const char *at;
    uint64_t n;

    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = strstr(text, quoted);
    n = at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
    free(text);
    look(w);
    return n;
}

static uint64_t waiting(struct world *w)
{
    uint64_t n = 0;

    for (int i = 0; i < 3; i++)
        n += (uint64_t)redis_server_int(w->redis, "XLEN " P "jobs:%s",
                                        (const char *[]){"urgent", "normal", "bulk"}[i]);
    look(w);
    return n;
}

static void pause_sending(struct world *w, bool paused)
{
    redis_server_do(w->redis, "HSET " P "control paused %d", paused);
}

/* -- pushing ---------------------------------------------------------------------------------- */

/* Pushes jobs of KEYS keys, each `bytes` long or slightly longer; the keys of all jobs are the same
 * or not. */
static void push(struct world *w, const char *lane, unsigned count, size_t bytes, bool same)
{
    struct buf keys;

    buf_init(&keys, 64 * MIB);
    for (unsigned j = 0; j < count; j++) {
        uint64_t number = same ? 0 : ++w->pushed;

        buf_clear(&keys);
        for (unsigned i = 0; i < KEYS; i++) {
            size_t from = keys.n;

            buf_printf(&keys, "k%" PRIu64 "-%u", number, i);
            while (keys.n - from < bytes)
                buf_putc(&keys, 'x');
            buf_putc(&keys, ' ');
        }
        keys.n--;
        w->pushed += same;
        redis_server_do(w->redis, "XADD " P "jobs:%s * keys %b", lane, keys.p, keys.n);
    }
    buf_deinit(&keys);
}

static void push_wide(struct world *w)
{
    push(w, "normal", jobs.wide, 1, false);
}

static void push_waiters(struct world *w)
{
    push(w, "bulk", jobs.waiters, 1, true);
}

static void push_large(struct world *w)
{
    push(w, "bulk", jobs.large, 799, false);
}

/* -- checks ----------------------------------------------------------------------------------- */

static void assert_bounded(struct world *w, const char *what)
{
    look(w);
    print_message("%s: %" PRIu64 " MiB at most\n", what, w->peak / MIB);
    if (!w->sanitized && w->peak > MEMORY_MAX + PROGRAM)
        fail_msg("%s: it took %" PRIu64 " bytes", what, w->peak);
}

static void fill(struct world *w, const char *what)
{
    await_until(-1, PATIENCE_MS, status(w, "held_back_normal") || status(w, "held_back_bulk"));
    assert_in_range(status(w, "memory_bytes"), 1, MEMORY_MAX);
    assert_bounded(w, what);
}

static void drain(struct world *w, const char *what)
{
    pause_sending(w, false);
    await_until(-1, PATIENCE_MS, waiting(w) == 0);
    assert_bounded(w, what);
    await_until(-1, PATIENCE_MS, status(w, "jobs_purged") >= w->pushed);
    if (!w->flooded)
        assert_int_equal(status(w, "jobs_purged"), w->pushed);
    assert_int_equal(redis_server_int(w->redis, "XLEN " P "dead"), 0);
    pause_sending(w, true);
    await_until(-1, PATIENCE_MS, status(w, "memory_bytes") < MIB);
}

static void begin(struct world *w, const char *global)
{
    pause_sending(w, true);
    start(w, global);
    instance_await_said(&w->instance, "leads the account", 1);
    w->sanitized = is_sanitized(w);
}

static void end(struct world *w)
{
    instance_signal(&w->instance, SIGTERM);
    assert_int_equal(instance_wait(&w->instance, 60000), 0);
}

static void memory_is_bounded_whatever_waits(void **state)
{
    struct world *w = *state;

    begin(w, UNHEARD);
    push_wide(w);
    fill(w, "jobs of 10,000 keys wait");
    drain(w, "jobs of 10,000 keys are purged");
    push_waiters(w);
    fill(w, "10,000 keys wait for hundreds of jobs");
    drain(w, "10,000 keys are purged for hundreds of jobs");
    push_large(w);
    fill(w, "jobs of 8 MB wait");
    drain(w, "jobs of 8 MB are purged");
    push_large(w);
    push_waiters(w);
    push_wide(w);
    fill(w, "all of them wait");
    drain(w, "all of them are purged");
    end(w);
}

/* -- clients while Redis hangs ---------------------------------------------------------------- */

static struct http *visit(struct world *w)
{
    char *base = alloc_printf("http://127.0.0.1:%u", rawhttp_port(&w->instance));
    struct http *h = http_open(base, NULL);

    free(base);
    return h;
}

static void flood(struct world *w, struct http *h)
{
    pid_t pid = redis_server_pid(w->redis);

    w->flooded = true;
    flood_begin_jobs(h);
    flood_begin_streams(h);
    http_run(h, 100);
    kill(pid, SIGSTOP);
    for (int i = 0; i < 20; i++)
        http_run(h, 10);
    flood_readers(rawhttp_port(&w->instance));
    kill(pid, SIGCONT);
    for (int i = 0; i < FLOOD_JOBS + FLOOD_STREAMS; i++) {
        struct http_call *c = http_next(h);

        w->pushed += flood_accepted(http_call_reply(c));
        http_drop(c);
        look(w);
    }
}

static void a_backlog_and_a_flood_at_once(void **state)
{
    struct world *w = *state;
    struct http *h;

    begin(w, "listen: 127.0.0.1:0\nhttp: {connections: 20000}\n");
    h = visit(w);
    push_large(w);
    push_waiters(w);
    push_wide(w);
    fill(w, "all of them wait");
    flood(w, h);
    assert_bounded(w, "Redis stood still with a backlog, and clients went on");
    drain(w, "the backlog and what was accepted are purged");
    http_close(h);
    end(w);
}

/* A single read returned a thousand jobs with thousands of targets each. */
static void one_read_does_not_pass_a_small_window(void **state)
{
    struct world *w = *state;

    begin(w, UNHEARD "window: 1000\n");
    push_wide(w);
    fill(w, "jobs of 10,000 keys wait behind a window of 1,000");
    assert_in_range(status(w, "window_targets"), 1, 1000 - 1 + KEYS);
    drain(w, "jobs of 10,000 keys went through a window of 1,000");
    end(w);
}

static void a_job_that_is_too_large_is_buried_and_leaves_its_name(void **state)
{
    struct world *w = *state;
    size_t n = 48 * MIB;
    char *keys = alloc_bytes(n), *text;

    begin(w, UNHEARD);
    memset(keys, 'k', n);
    redis_server_do(w->redis, "XADD " P "jobs:normal * service news keys %b ref order-7", keys, n);
    redis_server_do(w->redis, "XADD " P "jobs:normal * keys a");
    await_until(-1, PATIENCE_MS, redis_server_int(w->redis, "XLEN " P "dead") == 1);
    w->pushed = 1;
    pause_sending(w, false);
    await_until(-1, PATIENCE_MS, status(w, "jobs_purged") == 1);
    assert_int_equal(redis_server_int(w->redis, "XLEN " P "jobs:normal"), 0);
    text = redis_server_str(w->redis, "EVAL %s 0",
                            "return table.concat(redis.call('XRANGE', '" P
                            "dead', '-', '+')[1][2], ' ')");
    if (strncmp(text, "service news ref order-7 dead_reason job: it has 50331", 54) != 0 ||
        !strstr(text, "memory_max"))
        fail_msg("%s", text);
    free(text);
    free(keys);
    assert_bounded(w, "a job of 48 MiB was buried");
    end(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(memory_is_bounded_whatever_waits),
        T(a_backlog_and_a_flood_at_once),
        T(one_read_does_not_pass_a_small_window),
        T(a_job_that_is_too_large_is_buried_and_leaves_its_name),
    };

    if (argc > 1 && strcmp(argv[1], "full") == 0) {
        jobs.wide = full_jobs[0];
        jobs.waiters = full_jobs[1];
        jobs.large = full_jobs[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
