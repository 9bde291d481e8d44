/* SPDX-License-Identifier: MIT
 * POST /v1/plan predicts the same as the command, for targets that the producer may push. */
#include "admin_world.h"

static const char jobs[] = "{\"keys\":\"a b\"}\n"
                           "\r\n"
                           "{\"urls\":[\"http://example.com/1\",\"http://example.com/2\"],"
                           "\"lane\":\"urgent\"}\n"
                           "{\"keys\":[\"a\"],\"lane\":\"bulk\",\"repeat_after\":1000}";

static void a_plan_is_what_the_command_prints_and_sends_nothing(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;
    struct job j;

    theirs = printed(w, "printf '%s' '{\"keys\":\"a b\"}\n{\"urls\":[\"http://example.com/1\","
                        "\"http://example.com/2\"],\"lane\":\"urgent\"}\n"
                        "{\"keys\":[\"a\"],\"lane\":\"bulk\",\"repeat_after\":1000}' "
                        "| $P plan -a main --json --requests=3 --reply-ms 70 -f -");
    r = http_expect(w->http, 200, "POST", "/v1/plan?account=main&requests=3&reply_ms=70", jobs, OPS,
                    NULL);
    assert_alike(r->json, theirs, "plan");
    assert_int_equal(number(r->json, "total.jobs"), 3);
    assert_int_equal(json_array_size(at(r->json, "requests")), 3);
    json_decref(theirs);
    theirs = printed(w, "$P plan -a main --json a");
    r = http_expect(w->http, 200, "POST", "/v1/plan", "{\n\"account\":\"main\",\n\"keys\":\"a\"}",
                    OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    r = http_expect(w->http, 200, "POST", "/v1/plan",
                    "{\"jobs\":[{\"keys\":\"a\"}],\"account\":\"main\"}", OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    json_decref(theirs);
    theirs = printed(w, "$P plan -a main --json --fresh a");
    r = http_expect(w->http, 200, "POST", "/v1/plan?fresh=1", "{\"keys\":\"a\"}", CMS, NULL);
    assert_alike(r->json, theirs, "plan");
    json_decref(theirs);
    j = rig_push(w->rig, "bulk", "keys", "canary", NULL);
    rig_await_ended(w->rig, &j, "purged");
    rig_await(w->rig, requests_naming(&w->rig->requests, "canary", 200) == 1);
    assert_int_equal(requests_with_status(&w->rig->requests, ANY_STATUS), 1);
    end(w);
}

static void a_plan_of_the_backlog_is_what_the_command_prints(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\"}", OPS, NULL);
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    rig_push_keys(w->rig, "bulk", "k", 1, 1200);
    rig_push_keys(w->rig, "normal", "k", 1, 3);
    theirs = printed(w, "$P plan -a main --json --backlog");
    r = http_expect(w->http, 200, "POST", "/v1/plan?backlog=1&account=main", NULL, OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    http_assert_text(r, "of", "backlog");
    assert_int_equal(number(r->json, "total.jobs"), 1203);
    json_decref(theirs);
    http_expect(w->http, 400, "POST", "/v1/plan?backlog=1", NULL, OPS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?backlog=yes&account=main", NULL, OPS, NULL);
    end(w);
}

static void what_may_not_be_pushed_is_not_planned(void **state)
{
    static const char mixed[] = "{\"keys\":\"a\"}\n"
                                "{\"urls\":\"http://example.com/\"}\n"
                                "{\"keys\":\"a\",\"service\":\"shop\"}\n"
                                "{\"keys\"\n"
                                "{\"keys\":\"b\",\"account\":\"other\"}\n"
                                "{\"kyes\":\"b\"}\n";
    static const struct {
        int status;
        const char *body, *says;
    } bad[] = {
        {403, "{\"urls\":\"http://example.com/\"}", "url: this producer may not purge URLs"},
        {403, "{\"jobs\":[{\"keys\":\"a\",\"service\":\"shop\"}]}",
         "service: this producer may not"},
        {404, "{\"keys\":\"a\",\"account\":\"other\"}", "account: no such account"},
        {404, "{\"jobs\":[{\"keys\":\"a\"}],\"account\":\"other\"}", "account: no such account"},
        {400, "{\"keys\":7,\"kyes\":8}", "unknown field"},
        {400, "{\"jobs\":7}", "jobs: expected a list"},
        {400, "{\"jobs\":[],\"keys\":\"a\"}", "jobs: expected a list"},
        {400, "{\"jobs\":[]}", "a job is expected"},
        {400, "{\"jobs\":[7]}", "not a JSON object"},
        {400, "[{\"keys\":\"a\"}]", "not a JSON object"},
        {400, "\n\n", "a job is expected"},
        {400, NULL, "a job is expected"},
    };
    struct world *w = begin(state);
    const struct http_reply *r;

    r = http_expect(w->http, 200, "POST", "/v1/plan", mixed, CMS, NULL);
    assert_int_equal(number(r->json, "total.jobs"), 1);
    assert_int_equal(number(r->json, "exceptions.refused"), 5);
    assert_int_equal(json_array_size(at(r->json, "errors")), 5);
    assert_int_equal(number(r->json, "errors.0.line"), 2);
    assert_int_equal(number(r->json, "errors.4.line"), 6);
    for (size_t i = 0; i < array_len(bad); i++)
        http_assert_has(
            http_expect(w->http, bad[i].status, "POST", "/v1/plan", bad[i].body, CMS, NULL),
            bad[i].says);
    http_expect(w->http, 400, "POST", "/v1/plan", "{\"keys\":\"a\"}", OPS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?requests=1001", "{\"keys\":\"a\"}", CMS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?reply_ms=x", "{\"keys\":\"a\"}", CMS, NULL);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_plan_is_what_the_command_prints_and_sends_nothing),
        T(a_plan_of_the_backlog_is_what_the_command_prints),
        T(what_may_not_be_pushed_is_not_planned),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
