/* SPDX-License-Identifier: MIT
 * A confirmation means that Redis has the job, exactly once. Tests repeated requests, and a Redis
 * that is down, hangs or refuses writes. */
#include "http_world.h"

#include "buf.h"
#include "clock.h"

#define P "purgeline:{main}:"
#define PURGE "/v1/purge"
#define PATIENCE_MS 5000 /* of the endpoint's connection to Redis */

static struct world opened(void **state)
{
    return world_open(state, "", "");
}

/* -- the same request twice -- */

#define ONCE "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"

/* S32: checking first and writing later would let two requests through. */
static void s32_of_64_equal_requests_at_once_one_makes_a_job(void **state)
{
    struct world w = opened(state);
    struct http *all = http_open(http_base(w.h), NULL);
    size_t replayed = 0;
    char id[64] = "";

    for (int i = 0; i < 64; i++)
        (void)http_begin(all, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL);
    for (int i = 0; i < 64; i++) {
        const struct http_reply *r = http_call_reply(http_next(all));

        assert_int_equal(r->status, 202);
        if (!*id)
            snprintf(id, sizeof(id), "%s", http_text(r, "job"));
        assert_string_equal(http_text(r, "job"), id);
        replayed += http_header(r, "Idempotency-Replayed") != NULL;
    }
    assert_int_equal(replayed, 63);
    http_close(all);
    world_flush(&w);
    assert_int_equal(rig_receipts(w.r, "purged"), 2); /* one is from world_flush */
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 1);
    world_close(&w);
}

static void the_key_of_another_body_is_a_conflict(void **state)
{
    struct world w = opened(state);

    http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL);
    world_assert_problem(http_do(w.h, "POST", PURGE, "{\"keys\":[\"b\"]}", ONCE, NULL), 422,
                         "Idempotency-Key: ");
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "b", ANY_STATUS), 0);
    world_close(&w);
}

/* sha256 of "another-token" */
#define TWO_PRODUCERS                                                                              \
    CMS "  - name: shop\n    token_sha256: "                                                       \
        "\"9e78bcb94091b75109fd6773524fc8d6a4f8a6dfb3dae39a9c26c5001879bcf3\"\n"

static void two_producers_with_the_same_key_are_two(void **state)
{
    struct world w = world_open(state, "", TWO_PRODUCERS);
    struct job one, two;

    one = world_job(
        http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, KEY_HEADER, NULL));
    two = world_job(http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE,
                                "Authorization: Bearer another-token", NULL));
    assert_string_not_equal(one.id, two.id);
    world_close(&w);
}

static void a_key_is_remembered_across_a_restart(void **state)
{
    struct world w = opened(state);
    struct job one, two;
    const struct http_reply *r;

    one = world_job(http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL));
    rig_await_ended(w.r, &one, "purged");
    http_close(w.h);
    instance_kill(&w.r->instances[0]);
    w.h = http_serve(w.r, 0);
    r = http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL);
    two = world_job(r);
    assert_string_equal(http_header(r, "Idempotency-Replayed"), "true");
    assert_string_equal(one.id, two.id);
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 1);
    world_close(&w);
}

static void a_key_that_is_empty_or_too_long_is_refused(void **state)
{
    struct world w = opened(state);
    char header[300] = "Idempotency-Key: ";
    size_t n = strlen(header);

    memset(header + n, 'x', 255);
    http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", header, NULL);
    header[n + 255] = 'x';
    world_assert_problem(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", header, NULL), 400,
                         "Idempotency-Key: ");
    world_assert_problem(
        http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", "Idempotency-Key;", NULL), 400,
        "Idempotency-Key: ");
    world_close(&w);
}

/* As many targets as a job may have, each in its own field, together about 1 MB. */
static char *ten_thousand_urls(char last)
{
    struct buf b;
    char *text;

    buf_init(&b, SIZE_MAX / 2);
    buf_printf(&b, "{\"urls\":[");
    for (int i = 0; i < 10000; i++)
        buf_printf(&b, "%s\"https://www.example.com/%0*d%c\"", i ? "," : "", 60, i, last);
    buf_printf(&b, "]}");
    text = alloc_copy(buf_span(&b).p, buf_span(&b).n);
    buf_deinit(&b);
    return text;
}

static void a_job_of_10000_urls_is_made_once(void **state)
{
    struct world w = opened(state);
    struct http *all = http_open(http_base(w.h), NULL);
    char *urls = ten_thousand_urls('a'), *others = ten_thousand_urls('b'), id[64] = "";
    size_t replayed = 0;

    redis_server_do(w.r->redis, "HSET " P "control paused 1");
    for (int i = 0; i < 4; i++)
        (void)http_begin(all, "POST", PURGE, urls, ONCE, NULL);
    for (int i = 0; i < 4; i++) {
        const struct http_reply *r = http_call_reply(http_next(all));

        assert_int_equal(r->status, 202);
        if (!*id)
            snprintf(id, sizeof(id), "%s", http_text(r, "job"));
        assert_string_equal(http_text(r, "job"), id);
        replayed += http_header(r, "Idempotency-Replayed") != NULL;
    }
    assert_int_equal(replayed, 3);
    world_assert_problem(http_do(w.h, "POST", PURGE, others, ONCE, NULL), 422, "Idempotency-Key: ");
    world_assert_problem(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL), 422,
                         "Idempotency-Key: ");
    assert_int_equal(redis_server_int(w.r->redis, "XLEN " P "jobs:normal"), 1);
    assert_int_equal(redis_server_int(w.r->redis, "EVAL %s 0",
                                      "return #redis.call('KEYS', '" P "once:*:before')"),
                     0);
    http_close(all);
    free(urls);
    free(others);
    world_close(&w);
}

/* Somebody wrote a list to the key that the request needs. */
static void a_large_job_that_is_refused_leaves_nothing(void **state)
{
    struct world w = opened(state);
    char *urls = ten_thousand_urls('a');

    redis_server_do(w.r->redis, "HSET " P "control paused 1");
    http_expect(w.h, 202, "POST", PURGE, urls, ONCE, NULL);
    redis_server_do(w.r->redis, "EVAL %s 0",
                    "local k = redis.call('KEYS', '" P "once:*')[1]\n"
                    "redis.call('DEL', k)\n"
                    "redis.call('RPUSH', k, 'x')");
    http_assert_has(http_expect(w.h, 503, "POST", PURGE, urls, ONCE, NULL), "WRONGTYPE");
    assert_int_equal(redis_server_int(w.r->redis, "XLEN " P "jobs:normal"), 1);
    free(urls);
    world_close(&w);
}

static void a_large_job_is_refused_in_redis_words(void **state)
{
    struct world w = opened(state);
    char *urls = ten_thousand_urls('a');

    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    http_assert_has(http_expect(w.h, 503, "POST", PURGE, urls, ONCE, NULL), "OOM");
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    redis_server_do(w.r->redis, "ACL SETUSER default -multi");
    http_assert_has(http_expect(w.h, 503, "POST", PURGE, urls, ONCE, NULL), "NOPERM");
    free(urls);
    world_close(&w);
}

/* -- no false confirmations -- */

static void assert_busy(const struct http_reply *r)
{
    world_assert_problem(r, 503, "");
    assert_non_null(http_header(r, "Retry-After"));
    assert_true(atoi(http_header(r, "Retry-After")) >= 1);
}

static void s25_without_redis_there_is_no_yes(void **state)
{
    struct world w = opened(state);
    struct job j;

    redis_server_kill(w.r->redis);
    assert_busy(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL));
    assert_busy(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL));
    assert_busy(http_do(w.h, "GET", "/v1/jobs/normal-1700000000000-0", NULL, NULL));
    redis_server_restart(w.r->redis);
    rig_await(w.r, http_do(w.h, "POST", PURGE, "{\"keys\":[\"b\"]}", ONCE, NULL)->status == 202);
    j = world_job(http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"b\"]}", ONCE, NULL));
    rig_await_ended(w.r, &j, "purged");
    world_close(&w);
}

/* Redis accepts the bytes but does not answer, so the connection looks fine. */
static void a_redis_that_hangs_is_a_no_after_a_while(void **state)
{
    struct world w = opened(state);
    pid_t pid = redis_server_pid(w.r->redis);
    uint64_t began_ns, took_ms;
    struct http *waiting = http_open(http_base(w.h), NULL);

    kill(pid, SIGSTOP);
    began_ns = clock_mono_ns();
    (void)http_begin(waiting, "POST", PURGE, "{\"keys\":[\"b\"]}", "Prefer: wait=60", NULL);
    http_await_sent(waiting);
    assert_busy(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL));
    took_ms = (clock_mono_ns() - began_ns) / NS_PER_MS;
    assert_true(took_ms >= PATIENCE_MS - 100 && took_ms < 10 * PATIENCE_MS);
    assert_busy(http_call_reply(http_next(waiting)));
    kill(pid, SIGCONT);
    rig_await(w.r, http_do(w.h, "POST", PURGE, "{\"keys\":[\"c\"]}", NULL)->status == 202);
    rig_await(w.r, requests_naming(&w.r->requests, "c", 200) > 0);
    http_close(waiting);
    world_close(&w);
}

static void s24_a_redis_out_of_memory_is_a_no(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r;

    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    r = http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL);
    assert_busy(r);
    http_assert_has(r, "OOM");
    assert_busy(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", ONCE, NULL));
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    http_expect(w.h, 200, "POST", PURGE, "{\"keys\":[\"b\"]}", ONCE, "Prefer: wait=20", NULL);
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 0);
    world_close(&w);
}

static void a_full_backlog_takes_no_more(void **state)
{
    struct world w = world_open(state, "", "http: {backlog_max: 3}\n");
    const struct http_reply *r;

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    for (int i = 0; i < 3; i++)
        http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL);
    rig_await(w.r, http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL)->status == 503);
    r = http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL);
    assert_busy(r);
    http_assert_has(r, "too many jobs");
    rig_dispatch_pause(w.r, false);
    rig_await_empty(w.r);
    rig_await(w.r, http_do(w.h, "POST", PURGE, "{\"keys\":[\"b\"]}", NULL)->status == 202);
    world_close(&w);
}

/* S24: when the daemon is stopped while clients wait, the clients get an answer. */
static void a_stopping_daemon_answers_who_waits(void **state)
{
    struct world w = opened(state);
    struct http *other = http_open(http_base(w.h), NULL);
    struct http_call *c;

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    (void)http_begin(other, "POST", PURGE, "{\"keys\":[\"a\"]}", "Prefer: wait=120", NULL);
    while (redis_server_int(w.r->redis, "XLEN purgeline:{main}:jobs:normal") == 0)
        http_run(other, 10);
    instance_signal(&w.r->instances[0], SIGTERM);
    c = http_next(other);
    assert_int_equal(http_call_reply(c)->status, 202);
    assert_int_equal(instance_wait(&w.r->instances[0], 20000), 0);
    http_close(other);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(s32_of_64_equal_requests_at_once_one_makes_a_job),
        rig_test(a_job_of_10000_urls_is_made_once),
        rig_test(a_large_job_that_is_refused_leaves_nothing),
        rig_test(a_large_job_is_refused_in_redis_words),
        rig_test(the_key_of_another_body_is_a_conflict),
        rig_test(two_producers_with_the_same_key_are_two),
        rig_test(a_key_is_remembered_across_a_restart),
        rig_test(a_key_that_is_empty_or_too_long_is_refused),
        rig_test(s25_without_redis_there_is_no_yes),
        rig_test(a_redis_that_hangs_is_a_no_after_a_while),
        rig_test(s24_a_redis_out_of_memory_is_a_no),
        rig_test(a_full_backlog_takes_no_more),
        rig_test(a_stopping_daemon_answers_who_waits),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
