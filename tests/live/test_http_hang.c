/* SPDX-License-Identifier: MIT
 * Redis stands still, and clients go on: what they have under way stays within memory_max, who is
 * too many is told at once, and when Redis goes on, everything that was accepted is purged. Wants
 * the program as users get it, for the sanitizers' memory is another. */
#include "http_world.h"

#include <sys/resource.h>

#include "clock.h"
#include "rawhttp.h"

#define PURGE "/v1/purge"
#define MIB 1024
#define MEMORY_MAX_MIB 64
#define SLACK_MIB 16
#define READERS 20000
#define AT_ONCE 500
#define STREAMS 60
#define STREAM_LINES 4000
#define PRODUCERS 24
#define JOB_BYTES 8000000

static struct world opened(void **state)
{
    return world_open(state, "    budget: {purges: 100000000}\n",
                      "memory_max: 64MiB\nhttp: {connections: 20000}\n");
}

/* Nothing ends by itself while the test lasts. */
static struct world opened_patient(void **state)
{
    return world_open(state, "    budget: {purges: 100000000}\n",
                      "memory_max: 64MiB\nhttp: {connections: 20000, request_s: 600}\n");
}

static pid_t redis_pid(struct world *w)
{
    char *info = redis_server_str(w->r->redis, "INFO server");
    char *at = strstr(info, "process_id:");
    pid_t pid;

    must(at);
    pid = (pid_t)atoi(at + strlen("process_id:"));
    free(info);
    return pid;
}

/* Of the daemon, in KiB: "VmHWM", "RssAnon". */
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

/* -- what goes on while Redis stands still -- */

/* Asked and left, again and again; a reset leaves no port in TIME_WAIT that others would lack. */
static void ask_in_a_loop(struct world *w)
{
    unsigned port = rawhttp_port(&w->r->instances[0]);
    struct rawhttp r[AT_ONCE];

    for (size_t i = 0; i < READERS + AT_ONCE; i++) {
        struct rawhttp *one = &r[i % AT_ONCE];

        if (i >= AT_ONCE)
            rawhttp_reset(one);
        if (i >= READERS)
            continue;
        rawhttp_open(one, port);
        rawhttp_say(one, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    }
}

static char *stream_body(int n)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    for (int i = 0; i < STREAM_LINES; i++)
        buf_printf(&text, "{\"lane\":\"bulk\",\"keys\":[\"stream-%d-%d-%0200d\"]}\n", n, i % 50, 0);
    return buf_take(&text);
}

static char *job_body(int n)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "{\"keys\":[\"job-%d\"", n);
    while (text.n < JOB_BYTES - 1100)
        buf_printf(&text, ",\"job-%d-%zu-%01000d\"", n, text.n, 0);
    buf_printf(&text, "]}");
    return buf_take(&text);
}

static void begin_streams(struct http *h)
{
    for (int i = 0; i < STREAMS; i++) {
        char *body = stream_body(i);

        (void)http_begin(h, "POST", "/v1/purge/bulk", body, NULL);
        free(body);
    }
}

static void begin_jobs(struct http *h)
{
    for (int i = 0; i < PRODUCERS; i++) {
        char *body = job_body(i);

        (void)http_begin(h, "POST", PURGE, body, NULL);
        free(body);
    }
}

/* All answers: a yes, or 503 with Retry-After. Returns how many of them were a yes. */
static size_t await_answers(struct http *h, size_t count)
{
    size_t yes = 0;

    while (count--) {
        struct http_call *c = http_next(h);
        const struct http_reply *r = http_call_reply(c);

        if (r->status == 503)
            assert_non_null(http_header(r, "Retry-After"));
        else if (r->status != 200 && r->status != 202)
            fail_msg("%d: %.200s", r->status, r->body ? r->body : r->why);
        yes += r->status != 503;
        http_drop(c);
    }
    return yes;
}

/* -- what must hold -- */

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
    pid_t pid = redis_pid(&w);

    kill(pid, SIGSTOP);
    ask_in_a_loop(&w);
    assert_within(&w, "/readyz in a loop");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    world_close(&w);
}

static void streams_while_redis_hangs(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_pid(&w);

    kill(pid, SIGSTOP);
    begin_streams(h);
    (void)await_answers(h, STREAMS);
    assert_within(&w, "bulk pushes");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

/* Streams that wait for room take turns: none of them is refused for want of it. */
static void many_streams_at_once_all_come_through(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);

    begin_streams(h);
    assert_int_equal(await_answers(h, STREAMS), STREAMS);
    assert_within(&w, "bulk pushes with a Redis that answers");
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

static void large_jobs_while_redis_hangs(void **state)
{
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_pid(&w);

    kill(pid, SIGSTOP);
    begin_jobs(h);
    assert_int_equal(await_answers(h, PRODUCERS), 0);
    assert_within(&w, "large jobs");
    kill(pid, SIGCONT);
    assert_goes_on(&w);
    http_close(h);
    world_close(&w);
}

/* What the last line of a stream's answer says, or one for a single job. */
static size_t accepted(const struct http_reply *r)
{
    const char *sums =
        r->status == 200 && r->body ? memmem(r->body, r->body_bytes, "{\"accepted\":", 12) : NULL;

    if (r->status == 202)
        return 1;
    return sums ? (size_t)atol(sums + 12) : 0;
}

/* A receipt for each: whatever was accepted has ended, and nothing is left or dead. */
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
    pid_t pid = redis_pid(&w);
    size_t jobs = 0;

    begin_jobs(h);
    begin_streams(h);
    http_run(h, 100);
    kill(pid, SIGSTOP);
    for (int i = 0; i < 20; i++)
        http_run(h, 10);
    ask_in_a_loop(&w);
    kill(pid, SIGCONT);
    for (size_t i = 0; i < STREAMS + PRODUCERS; i++) {
        struct http_call *c = http_next(h);

        jobs += accepted(http_call_reply(c));
        http_drop(c);
    }
    assert_within(&w, "all of it together");
    printf("%zu jobs were accepted\n", jobs);
    assert_goes_on(&w);
    assert_all_purged(&w, jobs + 2);
    http_close(h);
    world_close(&w);
}

/* -- heads that come half and stay -- */

#define HALF_HEADS 2000
#define HALF_HEAD_BYTES 70000

static void may_open_all(void)
{
    struct rlimit r;

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur > 2 * HALF_HEADS);
}

/* `begin` and a long word that does not end. The oldest are closed meanwhile. */
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

/* A quarter of memory_max is room for so many of them. */
#define HALF_HEADS_KEPT (MEMORY_MAX_MIB * 1024 * 1024 / 4 / HALF_HEAD_BYTES)

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
        rig_test(readers_while_redis_hangs),
        rig_test(streams_while_redis_hangs),
        rig_test(many_streams_at_once_all_come_through),
        rig_test(large_jobs_while_redis_hangs),
        rig_test(all_of_it_together_and_what_was_accepted_is_purged),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
