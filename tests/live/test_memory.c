/* SPDX-License-Identifier: MIT
 * The memory of the running program, as measured by the kernel, is limited (P7), whatever waits in
 * Redis and whatever clients do. Each of these inputs used memory without limit when only targets
 * were counted. */
#include "memory_world.h"

#include "flood.h"

#define UNHEARD "listen: \"\"\n" /* without HTTP */

/* The numbers of jobs to push. `full` has those that once used 1 GiB, and takes minutes. */
static struct {
    unsigned wide, waiters, large;
} jobs = {60, 800, 12};
static const unsigned full_jobs[] = {1200, 3000, 60};

static uint64_t waiting(struct world *w)
{
    uint64_t n = 0;

    for (int i = 0; i < 3; i++)
        n += (uint64_t)redis_server_int(w->redis, "XLEN " P "jobs:%s",
                                        (const char *[]){"urgent", "normal", "bulk"}[i]);
    look(w);
    return n;
}

/* -- pushing ---------------------------------------------------------------------------------- */

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
