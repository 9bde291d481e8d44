/* SPDX-License-Identifier: MIT
 * Redis hangs while clients keep sending. Requests in progress use no more than memory_max, further
 * clients are refused at once, and when Redis continues, every accepted job is purged. Needs a
 * release build, because sanitizers use additional memory. */
#include "http_world.h"

#include <sys/resource.h>

#include "clock.h"
#include "flood.h"
#include "rawhttp.h"

#define PURGE "/v1/purge"
#define MIB 1024
#define MEMORY_MAX_MIB 64
#define SLACK_MIB 16

static struct world opened(void **state)
{
    return world_open(state, "    budget: {purges: 100000000}\n",
                      "memory_max: 64MiB\nhttp: {connections: 20000}\n");
}

/* With timeouts that do not expire during the test. */
static struct world opened_patient(void **state)
{
    return world_open(state, "    budget: {purges: 100000000}\n",
                      "memory_max: 64MiB\nhttp: {connections: 20000, request_s: 600}\n");
}

/* A number of the daemon from /proc, in KiB: "VmHWM", "RssAnon". */
static long memory_kib(const struct world *w, const char *what)
{
    char *path = alloc_printf("/proc/%d/status", (int)w->r->instances[0].pid);
    FILE *f = fopen(path, "r");
    char line[256];
    long kib = -1;

    must(f);
    while (kib < 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = atol(line + strlen(what) + 1);
    fclose(f);
    free(path);
    must(kib > 0);
    return kib;
}

static void assert_within(const struct world *w, const char *after)
{
    long peak = memory_kib(w, "VmHWM"), now = memory_kib(w, "RssAnon");

    printf("after %s: %ld KiB at most, %ld KiB anonymous now\n", after, peak, now);
    fflush(stdout);
    assert_in_range(peak, 1, (MEMORY_MAX_MIB + SLACK_MIB) * MIB);
}

/* Checks that all answers are confirmations, or 503 with Retry-After. Returns the number of
 * confirmations. */
static size_t await_answers(struct http *h, size_t count)
{
    size_t yes = 0;

    while (count--) {
        struct http_call *c = http_next(h);
        const struct http_reply *r = http_call_reply(c);

        if (r->status == 503)
            assert_non_null(http_header(r, "Retry-After"));
        else if (r->status != 200 && r->status != 202)
            fail_msg("%d: %.200s", r->status, r->status ? r->body : r->why);
        yes += r->status != 503;
        http_drop(c);
    }
    return yes;
}

/* -- checks -- */

static void assert_goes_on(struct world *w)
{
    struct job j;

    rig_await(w->r, http_do(w->h, "GET", "/readyz", NULL, NULL)->status == 200);
    rig_await(w->r,
              http_do(w->h, "POST", PURGE, "{\"keys\":[\"afterwards\"]}", NULL)->status == 202);
    j = world_job(http_expect(w->h, 202, "POST", PURGE, "{\"keys\":[\"at-last\"]}", NULL));
    rig_await_ended(w->r, &j, "purged");
    rig_await_empty(w->r);
}

static void readers_while_redis_hangs(void **state)
{
    struct world w = opened(state);
    pid_t pid = redis_server_pid(w.r->redis);

    kill(pid, SIGSTOP);
    flood_readers(rawhttp_port(&w.r->instances[0]));
    assert_within(&w, "/readyz in a loop");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    world_close(&w);
}

#define SILENT "Redis has not answered for 2 s, so this was not sent to it"
#define UNKNOWN "Redis does not answer, so it is unknown whether it stored the job; push it again"

/* Pushes a key of its own. */
static const struct http_reply *push_next(struct world *w, int *n)
{
    char body[64];

    snprintf(body, sizeof(body), "{\"keys\":[\"silent-%d\"]}", ++*n);
    return http_do(w->h, "POST", PURGE, body, NULL);
}

/* After some ten seconds, the connection counts as lost. */
static void assert_not_sent(const struct http_reply *r)
{
    assert_true(strstr(r->body, SILENT) || strstr(r->body, "Redis is away"));
}

/* Who comes first waits for the answer, and hears that the outcome is unknown. Who comes when Redis
 * has been silent for a while does not queue behind. */
static void requests_do_not_queue_behind_a_silent_redis(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r;
    char key[32];
    int n = 0;

    kill(redis_server_pid(w.r->redis), SIGSTOP);
    world_assert_problem(push_next(&w, &n), 503, UNKNOWN);
    rig_await(w.r, (r = push_next(&w, &n))->status == 503 && strstr(r->body, SILENT));
    assert_non_null(http_header(r, "Retry-After"));
    assert_not_sent(http_do(w.h, "GET", "/v1/jobs/normal-1-1", NULL, NULL));
    assert_not_sent(http_do(w.h, "DELETE", "/v1/jobs/normal-1-1", NULL, NULL));
    assert_not_sent(http_do(w.h, "POST", "/v1/purge/bulk", "{\"keys\":[\"silent-b\"]}\n", NULL));
    assert_not_sent(push_next(&w, &n));
    kill(redis_server_pid(w.r->redis), SIGCONT);
    assert_goes_on(&w);
    snprintf(key, sizeof(key), "silent-%d", n);
    assert_int_equal(requests_naming(&w.r->requests, key, ANY_STATUS), 0);
    assert_int_equal(requests_naming(&w.r->requests, "silent-b", ANY_STATUS), 0);
    world_close(&w);
}

static void streams_while_redis_hangs(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_server_pid(w.r->redis);

    kill(pid, SIGSTOP);
    flood_begin_streams(h);
    (void)await_answers(h, FLOOD_STREAMS);
    assert_within(&w, "bulk pushes");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

/* Streams that wait for memory take turns, and none of them is refused. */
static void many_streams_at_once_all_come_through(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);

    flood_begin_streams(h);
    assert_int_equal(await_answers(h, FLOOD_STREAMS), FLOOD_STREAMS);
    assert_within(&w, "bulk pushes with a Redis that answers");
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

static void large_jobs_while_redis_hangs(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_server_pid(w.r->redis);

    kill(pid, SIGSTOP);
    flood_begin_jobs(h);
    assert_int_equal(await_answers(h, FLOOD_JOBS), 0);
    assert_within(&w, "large jobs");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

/* Checks that there is a receipt for every accepted job, and that no job is left or dead. */
static void assert_all_purged(struct world *w, size_t jobs)
{
    rig_await_empty(w->r);
    assert_int_equal(rig_dead_count(w->r), 0);
    assert_true(rig_receipts(w->r, "purged") >= jobs);
}

static void all_of_it_together_and_what_was_accepted_is_purged(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_server_pid(w.r->redis);
    size_t jobs = 0;

    flood_begin_jobs(h);
    flood_begin_streams(h);
    http_run(h, 100);
    kill(pid, SIGSTOP);
    for (int i = 0; i < 20; i++)
        http_run(h, 10);
    flood_readers(rawhttp_port(&w.r->instances[0]));
    kill(pid, SIGCONT);
    for (size_t i = 0; i < FLOOD_STREAMS + FLOOD_JOBS; i++) {
        struct http_call *c = http_next(h);

        jobs += flood_accepted(http_call_reply(c));
        http_drop(c);
    }
    assert_within(&w, "all of it together");
    printf("%zu jobs were accepted\n", jobs);
    assert_goes_on(&w);
    assert_all_purged(&w, jobs + 2);
    http_close(h);
    world_close(&w);
}

/* -- connections with a request in progress -- */

#define ASKING 400
#define ASKING_ADMITTED (MEMORY_MAX_MIB * 1024 / 8 / 88) /* a connection takes 88 KiB */

/* None of them can be closed, so there is no room for further clients, which are refused at once.
 */
static void requests_that_wait_leave_no_room_for_more(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_server_pid(w.r->redis);
    size_t yes = 0;

    kill(pid, SIGSTOP);
    for (int i = 0; i < ASKING; i++)
        (void)http_begin(h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL);
    for (int i = 0; i < ASKING - ASKING_ADMITTED; i++) {
        struct http_call *c = http_next(h);

        assert_int_equal(http_call_reply(c)->status, 503);
        http_assert_has(http_call_reply(c), "too many requests are under way");
        http_drop(c);
    }
    kill(pid, SIGCONT);
    yes = await_answers(h, ASKING_ADMITTED);
    assert_in_range(yes, ASKING_ADMITTED / 2, ASKING_ADMITTED);
    assert_within(&w, "requests that wait");
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

/* -- incomplete request heads -- */

#define HALF_HEADS 2000
#define HALF_HEAD_BYTES 70000

static void may_open_all(void)
{
    struct rlimit r;

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur > 2 * HALF_HEADS);
}

/* Sends `begin` and a long word without an end. The oldest connections are closed in the meantime.
 */
static void send_half_heads(struct world *w, const char *begin, struct rawhttp *at)
{
    unsigned port = rawhttp_port(&w->r->instances[0]);
    char *word = alloc_bytes(HALF_HEAD_BYTES);

    memset(word, 'x', HALF_HEAD_BYTES);
    for (size_t i = 0; i < HALF_HEADS; i++) {
        rawhttp_open(&at[i], port);
        rawhttp_say(&at[i], "%s", begin);
        rawhttp_send(&at[i], word, HALF_HEAD_BYTES);
    }
    free(word);
}

static size_t count_open(struct rawhttp *at)
{
    size_t n = 0;

    for (size_t i = 0; i < HALF_HEADS; i++) {
        if (!at[i].ended)
            rawhttp_read(&at[i]);
        n += !at[i].ended;
    }
    return n;
}

/* The number of heads that fit into an eighth of memory_max. */
#define HALF_HEADS_KEPT (MEMORY_MAX_MIB * 1024 * 1024 / 8 / HALF_HEAD_BYTES)

static void half_heads_stay_within_memory_max(void **state)
{
    static const char *const begins[] = {"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ", "GET /"};
    struct rawhttp *at = alloc_zeroed(HALF_HEADS, sizeof(*at));
    struct world w = opened_patient(state);

    may_open_all();
    for (size_t i = 0; i < array_len(begins); i++) {
        send_half_heads(&w, begins[i], at);
        rig_await(w.r, count_open(at) <= HALF_HEADS_KEPT);
        assert_false(at[HALF_HEADS - 1].ended);
        http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
        assert_within(&w, begins[i]);
        for (size_t k = 0; k < HALF_HEADS; k++)
            rawhttp_close(&at[k]);
    }
    free(at);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(half_heads_stay_within_memory_max),
        rig_test(requests_that_wait_leave_no_room_for_more),
        rig_test(readers_while_redis_hangs),
        rig_test(requests_do_not_queue_behind_a_silent_redis),
        rig_test(streams_while_redis_hangs),
        rig_test(many_streams_at_once_all_come_through),
        rig_test(large_jobs_while_redis_hangs),
        rig_test(all_of_it_together_and_what_was_accepted_is_purged),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
