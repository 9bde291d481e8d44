/* SPDX-License-Identifier: MIT
 * --log-level debug logs a line for each step of a purge, without any secret. */
#include "http_world.h"

#define SECRET "a-secret-of-the-hook"
#define HUSH "hush-this-query"

static const char *const steps[] = {
    "Configuration of the account",
    "Redis answered the lease request",
    "Redis answered a budget request",
    "Lanes were read",
    "Hook request parsed",
    "Redis answered a push over HTTP",
    "HTTP request answered",
    "Sending a request",
    "Fastly answered",
    "The state of the brake has changed",
    "Nothing is sent yet",
    "Targets will be retried later",
    "Redis answered a write of job outcomes",
};

/* Pushes a key, a URL with a query and a hook, and causes a failure, a 429 and a refused request.
 */
static struct world play(void **state, const char *level)
{
    struct world w;

    setenv("HOOK_SECRET", SECRET, 1);
    w.r = rig_open(state, "",
                   HTTP_LISTENS CMS
                   "hooks:\n  - name: shop\n    secret_env: HOOK_SECRET\n    keys: [\"{id}\"]\n"
                   "    signature: {scheme: token, header: X-Secret}\n");
    w.r->instances[0].log_level = level;
    w.h = http_serve(w.r, 0);
    sandbox_fault(w.r->sandbox, "status=503&count=1");
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"article-17\"]}", KEY_HEADER, NULL);
    rig_await_empty(w.r);
    sandbox_fault(w.r->sandbox, "throttle=1&count=1");
    http_expect(w.h, 202, "POST", "/v1/purge",
                "{\"urls\":[\"https://www.example.com/page?token=" HUSH "\"]}", KEY_HEADER, NULL);
    http_expect(w.h, 202, "POST", "/hooks/shop", "{\"id\":\"42\"}", "X-Secret: " SECRET, NULL);
    http_expect(w.h, 401, "POST", "/v1/purge?" HUSH, "{}", "Fastly-Key: nobodys-token", NULL);
    rig_await_empty(w.r);
    return w;
}

static void each_step_is_a_line(void **state)
{
    struct world w = play(state, "debug");
    const struct instance *i = &w.r->instances[0];

    for (size_t n = 0; n < array_len(steps); n++)
        instance_await_said(i, steps[n], 1);
    instance_await_said(i, "first=\"article-17\" targets=1", 1);
    instance_await_said(i, "verdict=throttled status=429", 1);
    instance_await_said(i, "from=\"free\" to=\"held\"", 1);
    assert_true(instance_said(i, "/purge/https://www.example.com/page\" first=") > 0);
    assert_true(instance_said(i, "status=401 method=POST route=\"/v1/purge\"") > 0);
    world_close(&w);
}

static void no_line_holds_a_secret(void **state)
{
    struct world w = play(state, "debug");
    const struct instance *i = &w.r->instances[0];

    assert_true(instance_said(i, " debug \"") > 0);
    assert_int_equal(instance_said(i, SECRET), 0);
    assert_int_equal(instance_said(i, HUSH), 0);
    assert_int_equal(instance_said(i, "=" TOKEN), 0);
    assert_int_equal(instance_said(i, TOKEN "\""), 0);
    assert_int_equal(instance_said(i, "nobodys-token"), 0);
    assert_int_equal(instance_said(i, sandbox_token(w.r->sandbox)), 0);
    world_close(&w);
}

static void without_the_option_no_step_is_logged(void **state)
{
    struct world w = play(state, NULL);

    for (size_t n = 0; n < array_len(steps); n++)
        assert_int_equal(instance_said(&w.r->instances[0], steps[n]), 0);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(each_step_is_a_line),
        rig_test(no_line_holds_a_secret),
        rig_test(without_the_option_no_step_is_logged),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
