/* SPDX-License-Identifier: MIT
 * Bytes that are not valid text, from clients and from others that can write to Redis. Each is
 * answered with an error that names the problem, and the daemon keeps running. */
#include "http_world.h"

#include "rawhttp.h"
#include "shell.h"

#define P "purgeline:{main}:"
#define CUT "\"\\ua\xc3\xa9\"" /* where jansson cuts its error message */

static struct world opened(void **state)
{
    return world_open(state, "", "");
}

/* Checks that the same process still answers, and that no sanitizer has complained. */
static void closed(struct world *w)
{
    http_expect(w->h, 202, "POST", "/v1/purge", "{\"keys\":[\"the-last-word\"]}", NULL);
    assert_int_equal(instance_said(&w->r->instances[0], "this must hold"), 0);
    assert_int_equal(instance_said(&w->r->instances[0], "ERROR: "), 0);
    world_close(w);
}

/* -- from clients -- */

static void one_line_of_bulk_does_not_end_the_daemon(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", "/v1/purge/bulk",
                    "{\"keys\":" CUT "}\n{\"keys\":[\"good\"]}\n{\"\xff\":1}\n", NULL);

    http_assert_has(r, "{\"line\":1,\"error\":\"not a JSON object: ");
    http_assert_has(r, "{\"line\":2,\"job\":\"normal-");
    http_assert_has(r, "{\"line\":3,\"error\":\"");
    http_assert_has(r, "{\"accepted\":1,\"refused\":2}");
    world_assert_sent(&w, "good", false);
    closed(&w);
}

static void every_route_that_reads_json_survives_invalid_json(void **state)
{
    static const char *const routes[] = {"/v1/purge",
                                         "/v1/plan",
                                         "/v1/pause",
                                         "/v1/resume",
                                         "/v1/dead/retry",
                                         "/v1/dead/drop",
                                         "/service/" NEWS "/purge"};
    static const char *const bodies[] = {
        "{\"keys\":" CUT "}",     "{\"\\ud800\":1}",     "{\"keys\":[\"\xc3\"]}",  "\xff\xfe",
        "{\"a\\u0000b\":1}",      "[\"\\ud8\xcd\x95\"]", "{\"why\":\"\xe2\x82\"}", "{\"x\":1e999}",
        "{\"\xc3\xa9\x1b[2J\":1}"};
    struct world w = opened(state);

    for (size_t i = 0; i < array_len(routes); i++) {
        for (size_t k = 0; k < array_len(bodies); k++) {
            const struct http_reply *r = http_do(w.h, "POST", routes[i], bodies[k], NULL);

            if (r->status < 400 || r->status > 422 || !r->json)
                fail_msg("%s with %s: %d %s", routes[i], bodies[k], r->status, r->body);
        }
    }
    closed(&w);
}

/* Quoted text is quoted only once, and invalid bytes are shown as hexadecimal values. */
static void an_answer_names_the_field_and_quotes_it_once(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r =
        http_expect(w.h, 400, "POST", "/v1/purge", "{\"keys\":[\"say \\\"hi\\\"\"]}", NULL);

    world_assert_problem(r, 400, "keys: ");
    http_assert_has(r, "\\\"say \\\"hi\\\"\\\"");
    assert_null(strstr(r->body, "x22"));
    r = http_expect(w.h, 400, "POST", "/v1/purge", "{\"ke\xc3\xa9ys\":1}", NULL);
    world_assert_problem(r, 400, "ke\\xc3\\xa9ys: ");
    assert_true(instance_said(&w.r->instances[0], "say \\\"hi\\\"") > 0);
    assert_int_equal(instance_said(&w.r->instances[0], "\\x22"), 0);
    assert_int_equal(instance_said(&w.r->instances[0], "\\x5c"), 0);
    closed(&w);
}

static void a_password_in_a_url_is_neither_answered_nor_logged(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r = http_expect(
        w.h, 400, "POST", "/v1/purge", "{\"url\":\"https://me:h1dd3n@www.example.com/\"}", NULL);

    world_assert_problem(r, 400, "url: user info (user@host) is not supported");
    assert_null(strstr(r->body, "h1dd3n"));
    r = http_expect(w.h, 400, "POST", "/purge/https://me:h1dd3n@www.example.com/", NULL, NULL);
    assert_null(strstr(r->body, "h1dd3n"));
    assert_int_equal(instance_said(&w.r->instances[0], "user info"), 2);
    assert_int_equal(instance_said(&w.r->instances[0], "h1dd3n"), 0);
    closed(&w);
}

/* Its bytes would be taken for JSON, or for lines. */
static void a_compressed_body_is_refused_as_such(void **state)
{
    static const char *const routes[] = {"/v1/purge", "/v1/purge/bulk", "/v1/plan"};
    struct world w = opened(state);
    const struct http_reply *r;

    for (size_t i = 0; i < array_len(routes); i++) {
        r = http_expect(w.h, 415, "POST", routes[i], "{\"keys\":\"a\"}", "Content-Encoding: gzip",
                        NULL);
        world_assert_problem(r, 415, "Content-Encoding: ");
    }
    http_expect(w.h, 415, "POST", routes[0], "{\"keys\":\"a\"}", "Content-Encoding: identity, BR",
                NULL);
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":\"a\"}", "Content-Encoding: Identity",
                NULL);
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":\"a\"}", "Content-Encoding: utf-8", NULL);
    closed(&w);
}

static void heads_and_queries_of_any_bytes_get_an_answer(void **state)
{
    static const char *const heads[] = {
        "GET /v1/status?account=\xff HTTP/1.1\r\n",
        "GET /v1/dead?account=%ff&limit=\xc3 HTTP/1.1\r\n",
        "GET /v1/jobs/\xff\xfe?account=\x1b HTTP/1.1\r\n",
        "DELETE /v1/jobs/normal-1-2%0a HTTP/1.1\r\n",
        "PURGE /\xff\xc3 HTTP/1.1\r\n",
        "POST /purge/\xff\xc3/x HTTP/1.1\r\n",
        "POST /service/\xff/purge HTTP/1.1\r\n",
        "POST /service/" NEWS "/purge/%ff%00 HTTP/1.1\r\n",
        "POST /v1/purge HTTP/1.1\r\nIdempotency-Key: \xff\xc3\r\n",
        "POST /v1/purge HTTP/1.1\r\nPrefer: wait=\xff\r\n",
        "POST /service/" NEWS "/purge HTTP/1.1\r\nSurrogate-Key: \xff \xc3\r\n",
        "POST /purge/x HTTP/1.1\r\nPurgeline-Account: \xff\r\n",
        "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer \xff\xc3\r\nFastly-Key: \xfe\r\n",
        "POST /hooks/\xff HTTP/1.1\r\n",
    };
    struct world w = opened(state);
    unsigned port = rawhttp_port(&w.r->instances[0]);

    for (size_t i = 0; i < array_len(heads); i++) {
        struct rawhttp raw;
        int status;

        rawhttp_open(&raw, port);
        rawhttp_say(&raw, "%sHost: localhost\r\nContent-Length: 0\r\n\r\n", heads[i]);
        status = rawhttp_await_any(&raw);
        rawhttp_close(&raw);
        if (status >= 500 && status != 503)
            fail_msg("%s: %d", heads[i], status);
    }
    closed(&w);
}

/* A configuration file must be UTF-8, but an environment variable need not be. */
static void the_name_of_a_service_may_be_any_bytes(void **state)
{
    struct world w;

    setenv("PURGELINE_SERVICES", NEWS "=news," SHOP "=caf\xe9\x1b", 1);
    w = opened(state);
    unsetenv("PURGELINE_SERVICES");
    http_assert_has(http_expect(w.h, 200, "GET", "/service", NULL, NULL), "caf\xc3\xa9\\u001");
    http_assert_has(http_expect(w.h, 200, "GET", "/service/" SHOP, NULL, NULL), "caf\xc3\xa9");
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"a\"],\"service\":\"" SHOP "\"}", NULL);
    closed(&w);
}

/* -- from Redis -- */

/* Replaces the text after the digest in the key of the only Idempotency-Key. */
static void forge_mark(struct world *w, const char *value)
{
    redis_server_do(w->r->redis, "EVAL %s 0 %s",
                    "local k = redis.call('KEYS', '" P "once:*')[1]\n"
                    "local same = redis.call('GET', k):match('^%S+')\n"
                    "return redis.call('SET', k, same .. ' ' .. ARGV[1])",
                    value);
}

static void a_forged_mark_of_an_idempotency_key_is_refused_by_name(void **state)
{
    static const char *const values[] = {"x", "\xff\xfe", "normal-1-2\n\x1b[2J", "normal-1-x",
                                         "normal-99999999999999999999999-1"};
    static const char push[] = "{\"keys\":[\"once\"]}", key[] = "Idempotency-Key: k";
    struct world w = opened(state);

    http_expect(w.h, 202, "POST", "/v1/purge", push, key, NULL);
    for (size_t i = 0; i < array_len(values); i++) {
        int status;

        forge_mark(&w, values[i]);
        status = http_do(w.h, "POST", "/v1/purge", push, key, NULL)->status;
        if (status != 503 && status != 422) /* with a second word, it is not our key at all */
            fail_msg("%s: %d", values[i], status);
        status = http_do(w.h, "POST", "/v1/purge", push, key, "Prefer: wait=1", NULL)->status;
        assert_true(status == 503 || status == 422);
    }
    forge_mark(&w, "x");
    http_assert_has(http_expect(w.h, 503, "POST", "/v1/purge", push, key, NULL),
                    "Idempotency-Key: its once:* key in Redis holds no job id");
    closed(&w);
}

static void forged_keys_of_redis_are_shown_and_not_believed(void **state)
{
    static const char *const status[] = {"\xff", "[1]", "{\"in_hand_bulk\":-5,\"jobs_taken\":1e9}",
                                         "{\"budget_left\":-1,\"jobs_taken\":1,"
                                         "\"targets_taken\":9223372036854775807}",
                                         "{\"state\":\"\\u001b[2J\\u009b\"}"};
    struct world w = opened(state);

    redis_server_do(w.r->redis, "HSET " P "control paused 1 why %s by %s at x", "\xff\x1b[2J\"\n",
                    "\xc3\x1b]0;x\x07");
    redis_server_do(w.r->redis, "SET " P "receipt:normal-1-2 %b", "\xff\0[", (size_t)3);
    redis_server_do(w.r->redis,
                    "XADD " P "dead * \xff \xfe\xff url a url \xc3 dead_reason %s "
                    "dead_job %s dead_at x",
                    "\"\xff\x1b\n", "\x1b[2J");
    for (size_t i = 0; i < array_len(status); i++) {
        redis_server_do(w.r->redis, "SET " P "status %s", status[i]);
        http_expect(w.h, 200, "GET", "/v1/status", NULL, NULL);
        http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"a\"],\"lane\":\"bulk\"}", NULL);
    }
    http_expect(w.h, 200, "GET", "/v1/dead", NULL, NULL);
    http_expect(w.h, 200, "GET", "/v1/jobs/normal-1-2", NULL, NULL);
    http_do(w.h, "DELETE", "/v1/jobs/normal-1-2", NULL, NULL);
    closed(&w);
}

/* The leader itself reads these keys, every second or when it becomes leader. */
static void forged_keys_of_redis_do_not_end_the_leader(void **state)
{
    struct world w = opened(state);
    struct redis_server *redis = w.r->redis;

    redis_server_do(redis, "RPUSH " P "cancelled x normal \xff normal-1-2-3 -- idle-1-2 %b", "a\0b",
                    (size_t)3);
    redis_server_do(redis, "ZADD " P "postponed 1 \xff 2 x -inf {} 3 y");
    redis_server_do(redis, "HSET " P "postponed:jobs x \xff\xfe y %b", "\x93\xc0\xc0\xc0",
                    (size_t)4);
    redis_server_do(redis, "XADD " P "jobs:normal * \xff \xfe");
    redis_server_do(redis, "XADD " P "jobs:normal * keys \xff ref \xff\x1b");
    rig_await(w.r, rig_dead_count(w.r) >= 6);
    http_expect(w.h, 200, "GET", "/v1/dead", NULL, NULL);
    http_expect(w.h, 200, "POST", "/v1/dead/retry", "{\"all\":true}", NULL);
    rig_await(w.r, rig_dead_count(w.r) >= 2);
    closed(&w);
}

/* -- on a terminal -- */

static void a_terminal_is_shown_escape_sequences_and_not_sent_them(void **state)
{
    static const char *const lines[] = {"status",           "status --json", "dead list",
                                        "dead list --json", "check",         "plan --backlog a"};
    struct world w = opened(state);
    struct shell shell;

    shell_open(&shell);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    redis_server_do(w.r->redis, "HSET " P "control paused 1 why %s by %s at 1",
                    "\x1b[31mred\xc2\x9b"
                    "2J\n",
                    "me\x1b]0;x\x07");
    redis_server_do(w.r->redis, "SET " P "status %s", "{\"state\":\"\\u001b[2J\\u009bx\"}");
    redis_server_do(w.r->redis, "XADD " P "dead * keys %s dead_reason %s dead_job %s",
                    "\x1b[2J\x7f\xc2\x9b", "say \"hi\"\x1b[2J\r", "\x9b\x1b");
    for (size_t i = 0; i < array_len(lines); i++) {
        shell_run(&shell, "$P %s", lines[i]);
        for (const char *c = shell.out; *c; c++)
            if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f ||
                ((unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0))
                fail_msg("%s printed the byte %02x: %s", lines[i], (unsigned)*c, shell.out);
        assert_null(strchr(shell.err, '\x1b'));
    }
    shell_run(&shell, "$P status");
    shell_assert_out(&shell, "\\x1b[31mred");
    shell_run(&shell, "$P dead list");
    shell_assert_out(&shell, "say \"hi\"\\x1b[2J\\x0d");
    shell_close(&shell);
    unsetenv("PURGELINE_CONFIG");
    closed(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(one_line_of_bulk_does_not_end_the_daemon),
        rig_test(every_route_that_reads_json_survives_invalid_json),
        rig_test(an_answer_names_the_field_and_quotes_it_once),
        rig_test(a_password_in_a_url_is_neither_answered_nor_logged),
        rig_test(a_compressed_body_is_refused_as_such),
        rig_test(heads_and_queries_of_any_bytes_get_an_answer),
        rig_test(the_name_of_a_service_may_be_any_bytes),
        rig_test(a_forged_mark_of_an_idempotency_key_is_refused_by_name),
        rig_test(forged_keys_of_redis_are_shown_and_not_believed),
        rig_test(forged_keys_of_redis_do_not_end_the_leader),
        rig_test(a_terminal_is_shown_escape_sequences_and_not_sent_them),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
