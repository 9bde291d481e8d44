/* SPDX-License-Identifier: MIT
 * The HTTP API for operators returns the same as the command line, and its changes happen once and
 * are audited. */
#include "admin_world.h"

#include "clock.h"

/* The ids of all dead letters as JSON for a request, oldest first. Allocated with malloc. */
static char *order_of_all(struct world *w)
{
    const struct http_reply *r =
        http_expect(w->http, 200, "GET", "/v1/dead?account=main", NULL, OPS, NULL);
    json_t *ids = json_array(), *order, *letter;
    char *text;
    size_t i;

    json_array_foreach(json_object_get(r->json, "letters"), i, letter)
        json_array_insert(ids, 0, json_object_get(letter, "id"));
    order = json_pack("{ssso}", "account", "main", "ids", ids);
    text = json_dumps(order, JSON_COMPACT);
    json_decref(order);
    return text;
}

/* -- status ---------------------------------------------------------------------------------- */

static void the_status_is_what_the_command_prints(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\",\"why\":\"x\"}", OPS,
                NULL);
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    rig_push_keys(w->rig, "bulk", "k", 1, 7);
    rig_push(w->rig, "urgent", "keys", "a", "not_before", "4000000000000", NULL);
    bury(w, "gone");
    rig_await(w->rig, redis_server_int(w->rig->redis, "ZCARD purgeline:{main}:postponed") == 1);
    theirs = printed(w, "$P status --json");
    r = http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    assert_alike(r->json, theirs, "status");
    assert_int_equal(number(r->json, "accounts.0.lanes.bulk.jobs"), 7);
    assert_int_equal(number(r->json, "accounts.0.dead"), 1);
    assert_int_equal(number(r->json, "accounts.0.later"), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.1.account")), "other");
    json_decref(theirs);
    end(w);
}

static void a_status_is_of_the_accounts_one_may_see(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    r = http_expect(w->http, 200, "GET", "/v1/status", NULL, BOSS, NULL);
    assert_int_equal(json_array_size(at(r->json, "accounts")), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.0.account")), "other");
    r = http_expect(w->http, 200, "GET", "/v1/status?account=main", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "accounts")), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.0.account")), "main");
    http_expect(w->http, 404, "GET", "/v1/status?account=main", NULL, BOSS, NULL);
    http_expect(w->http, 404, "GET", "/v1/status?account=nobody", NULL, OPS, NULL);
    end(w);
}

/* -- permissions ------------------------------------------------------------------------------ */

static void only_operators_are_let_in(void **state)
{
    struct world *w = begin(state);

    bury(w, "gone");
    for (size_t i = 0; i < array_len(admin_routes); i++) {
        const char *method = admin_routes[i].method, *target = admin_routes[i].target;
        const char *body = admin_routes[i].body;
        const struct http_reply *r;

        r = http_expect(w->http, 403, method, target, body, CMS, NULL);
        http_assert_has(r, "this needs a producer with admin: true");
        r = http_expect(w->http, 401, method, target, body, NULL);
        assert_non_null(http_header(r, "WWW-Authenticate"));
        http_expect(w->http, 401, method, target, body, "Authorization: Bearer ops", NULL);
        if (i > 0)
            http_expect(w->http, 404, method, target, body, BOSS, NULL);
    }
    assert_int_equal(dead_count(w), 1);
    assert_int_equal(redis_server_int(w->rig->redis, "EXISTS purgeline:{main}:control"), 0);
    end(w);
}

/* -- dead letters ---------------------------------------------------------------------------- */

static void dead_letters_are_listed_as_the_command_does(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    bury(w, "first");
    bury(w, "last");
    redis_server_do(w->rig->redis, "XADD " DEAD " * keys \xff url http://a/1 url http://a/2");
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&limit=2", NULL, OPS, NULL);
    theirs = printed(w, "$P dead list -a main --json --limit 2 | jq -s '{letters: .}'");
    assert_alike(at(r->json, "letters"), at(theirs, "letters"), "letters");
    http_assert_text(r, "account", "main");
    assert_true(json_is_true(at(r->json, "more")));
    json_decref(theirs);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&limit=3", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 3);
    assert_string_equal(json_string_value(at(r->json, "letters.2.target")), "first");
    assert_true(json_is_false(at(r->json, "more")));
    r = http_expect(w->http, 200, "GET", "/v1/dead", NULL, BOSS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 0);
    http_expect(w->http, 400, "GET", "/v1/dead", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=0", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=1001", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=some", NULL, OPS, NULL);
    end(w);
}

static void a_list_of_large_letters_ends_early_and_says_so(void **state)
{
    struct world *w = begin(state);
    char *key = alloc_bytes(3 * 1024 * 1024 + 1);
    const struct http_reply *r;

    memset(key, 'k', 3 * 1024 * 1024);
    key[3 * 1024 * 1024] = '\0';
    for (int i = 0; i < 4; i++)
        redis_server_do(w->rig->redis, "XADD " DEAD " * keys %s dead_reason large", key);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 2);
    assert_true(json_is_true(at(r->json, "more")));
    free(key);
    end(w);
}

static void a_retried_letter_is_purged(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    char *order;

    bury(w, "one");
    bury(w, "two");
    order = order_of_all(w);
    bury(w, "three");
    r = http_expect(w->http, 200, "POST", "/v1/dead/retry", order, OPS, NULL);
    assert_string_equal(r->body, "{\"retried\":2}");
    rig_await(w->rig, requests_naming(&w->rig->requests, "one", 200) == 1 &&
                          requests_naming(&w->rig->requests, "two", 200) == 1);
    assert_int_equal(dead_count(w), 1);
    http_expect(w->http, 404, "POST", "/v1/dead/retry", order, OPS, NULL);
    r = http_expect(w->http, 200, "POST", "/v1/dead/retry?account=main", "{\"all\":true}", OPS,
                    NULL);
    assert_int_equal(http_number(r, "retried"), 1);
    rig_await(w->rig, requests_naming(&w->rig->requests, "three", 200) == 1);
    rig_await_empty(w->rig);
    assert_int_equal(requests_naming(&w->rig->requests, "one", ANY_STATUS), 1);
    assert_int_equal(dead_count(w), 0);
    assert_int_equal(instance_said(&w->rig->instances[0],
                                   "\"A producer retries dead letters\" account=main "
                                   "by=\"ops from 127.0.0.1\" asked=ids outcome=done done=2"),
                     1);
    free(order);
    end(w);
}

static void a_dropped_letter_is_forgotten(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    char *order, *more;

    bury(w, "one");
    order = order_of_all(w);
    bury(w, "two");
    /* One existing letter, and one that does not exist. */
    more = alloc_printf("%.*s,\"1-1\"]}", (int)strlen(order) - 2, order);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop", more, OPS, NULL);
    assert_int_equal(http_number(r, "dropped"), 1);
    assert_int_equal(http_number(r, "missing"), 1);
    assert_int_equal(dead_count(w), 1);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop", "{\"account\":\"main\",\"all\":true}",
                    OPS, NULL);
    assert_string_equal(r->body, "{\"dropped\":1}");
    assert_int_equal(dead_count(w), 0);
    assert_int_equal(redis_server_int(w->rig->redis, "XLEN purgeline:{main}:jobs:urgent"), 0);
    assert_int_equal(requests_with_status(&w->rig->requests, ANY_STATUS), 0);
    free(order);
    free(more);
    end(w);
}

static void letters_are_found_counted_and_then_dropped_by_a_filter(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    char *order;

    bury(w, "one fish");
    redis_server_do(w->rig->redis,
                    "XADD " DEAD " * service " NEWS
                    " url http://a/fish?b+c dead_by cms dead_reason "
                    "other dead_job bulk-5-0 dead_at 1 dead_target http://a/fish?b+c");
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&reason=other&limit=5", NULL, OPS,
                    NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 1);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&target=fish%3Fb%2Bc", NULL, OPS,
                    NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 1);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&target=fish&service=" NEWS, NULL,
                    OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 2);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&target=fish&until=1000", NULL, OPS,
                    NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 0);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&producer=cms", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 1);
    assert_string_equal(json_string_value(at(r->json, "letters.0.by")), "cms");
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop?account=main",
                    "{\"filter\":{\"producer\":\"CMS\"},\"dry_run\":true}", OPS, NULL);
    assert_int_equal(http_number(r, "would_drop"), 0);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop?account=main",
                    "{\"filter\":{\"producer\":\"cms\"},\"dry_run\":true}", OPS, NULL);
    assert_int_equal(http_number(r, "would_drop"), 1);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop?account=main",
                    "{\"filter\":{\"target\":\"fish\"},\"dry_run\":true}", OPS, NULL);
    assert_int_equal(http_number(r, "would_drop"), 2);
    assert_int_equal(dead_count(w), 2);
    order =
        alloc_printf("{\"filter\":{\"target\":\"fish\"},\"up_to\":\"%s\"}", http_text(r, "up_to"));
    bury(w, "a third fish");
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop?account=main", order, OPS, NULL);
    assert_string_equal(r->body, "{\"dropped\":2}");
    assert_int_equal(dead_count(w), 1);
    assert_int_equal(instance_said(&w->rig->instances[0], "asked=filter outcome=done done=2"), 1);
    r = http_expect(w->http, 200, "POST", "/v1/dead/retry?account=main",
                    "{\"filter\":{\"reason\":\"nothing\"},\"dry_run\":true}", OPS, NULL);
    assert_string_equal(r->body, "{\"would_retry\":0}");
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&since=now", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&before=now", NULL, OPS, NULL);
    free(order);
    end(w);
}

static void an_order_that_is_not_clear_does_nothing(void **state)
{
    static const struct {
        const char *target, *body, *says;
    } orders[] = {
        {"/v1/dead/drop", "{\"account\":\"main\"}", "ids: expected a list of ids, or all: true"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":true,\"filter\":{\"reason\":\"a\"}}",
         "ids: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{}}", "filter: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"reasons\":\"a\"}}",
         "filter: unknown"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"reason\":\"\"}}",
         "reason: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"target\":7}}", "target: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"producer\":\"\"}}",
         "producer: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"since\":\"2h\"}}",
         "since: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"filter\":{\"until\":-1}}", "until: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":true,\"up_to\":\"1\"}", "up_to: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":true,\"dry_run\":1}", "dry_run: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[\"1-1\"],\"dry_run\":true}",
         "ids: dry_run"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":true,\"ids\":[\"1-1\"]}", "ids: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":false}", "all: expected true"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[]}", "ids: expected a list"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":\"1-1\"}", "ids: expected a list"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[\"1-1\",\"-\"]}", "1700000000000-0"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[7]}", "1700000000000-0"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"al\":true}", "al: unknown field"},
        {"/v1/dead/drop", "{\"account\":7,\"all\":true}", "account: expected a text"},
        {"/v1/dead/drop", "{\"all\":true}", "account: missing"},
        {"/v1/dead/drop", "[]", "not a JSON object"},
        {"/v1/dead/drop", "{\"all\":true,\"all\":true}", "not a JSON object"},
        {"/v1/pause", "{\"account\":\"main\",\"why\":1}", "why: expected a text"},
        {"/v1/pause", "{\"account\":\"main\",\"all\":true}", "all: unknown field"},
        {"/v1/resume", "{\"account\":\"main\",\"why\":\"x\"}", "why: unknown field"},
        {"/v1/resume", "", "account: missing"},
    };
    struct world *w = begin(state);
    char *body;

    bury(w, "one");
    for (size_t i = 0; i < array_len(orders); i++)
        http_assert_has(
            http_expect(w->http, 400, "POST", orders[i].target, orders[i].body, OPS, NULL),
            orders[i].says);
    body = alloc_printf("{\"account\":\"main\",\"why\":\"%0150d\"}", 0);
    http_expect(w->http, 400, "POST", "/v1/pause", body, OPS, NULL);
    free(body);
    body = alloc_printf("{\"account\":\"main\",\"all\":true}%0*d", 1024 * 1024, 0);
    http_expect(w->http, 413, "POST", "/v1/dead/drop", body, OPS, NULL);
    free(body);
    http_expect(w->http, 405, "GET", "/v1/dead/drop", NULL, OPS, NULL);
    assert_int_equal(dead_count(w), 1);
    assert_int_equal(redis_server_int(w->rig->redis, "EXISTS purgeline:{main}:control"), 0);
    end(w);
}

/* -- pause and resume ------------------------------------------------------------------------ */

static void a_pause_holds_until_it_is_resumed(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    uint64_t resumed_ms;
    struct job j;

    r = http_expect(w->http, 200, "POST", "/v1/pause",
                    "{\"account\":\"main\",\"why\":\"origin\\nis \\\"rebuilt\\\"\"}", OPS, NULL);
    assert_string_equal(r->body, "{\"account\":\"main\",\"paused\":true,"
                                 "\"why\":\"origin is \\\"rebuilt\\\"\",\"holds\":true}");
    assert_int_equal(instance_said(&w->rig->instances[0], "Dispatch is paused"), 1);
    j = rig_push(w->rig, "urgent", "keys", "held", NULL);
    r = http_expect(w->http, 200, "GET", "/v1/status?account=main", NULL, OPS, NULL);
    assert_true(json_is_true(at(r->json, "accounts.0.paused")));
    assert_string_equal(json_string_value(at(r->json, "accounts.0.paused_by")),
                        "ops from 127.0.0.1");
    assert_string_equal(json_string_value(at(r->json, "accounts.0.paused_why")),
                        "origin is \"rebuilt\"");
    resumed_ms = clock_wall_ms();
    r = http_expect(w->http, 200, "POST", "/v1/resume?account=main", NULL, OPS, NULL);
    assert_string_equal(r->body, "{\"account\":\"main\",\"paused\":false,\"why\":\"\"}");
    rig_await_ended(w->rig, &j, "purged");
    rig_await(w->rig, requests_naming(&w->rig->requests, "held", 200) == 1);
    assert_true(requests_find(&w->rig->requests, "held", 0)->begin_ms >= resumed_ms);
    assert_int_equal(instance_said(&w->rig->instances[0],
                                   "\"A producer pauses an account\" account=main "
                                   "by=\"ops from 127.0.0.1\" why=\"origin is \\\"rebuilt"),
                     1);
    assert_int_equal(instance_said(&w->rig->instances[0], "\"A producer resumes an account\""), 1);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_status_is_what_the_command_prints),
        T(a_status_is_of_the_accounts_one_may_see),
        T(only_operators_are_let_in),
        T(dead_letters_are_listed_as_the_command_does),
        T(a_list_of_large_letters_ends_early_and_says_so),
        T(a_retried_letter_is_purged),
        T(a_dropped_letter_is_forgotten),
        T(letters_are_found_counted_and_then_dropped_by_a_filter),
        T(an_order_that_is_not_clear_does_nothing),
        T(a_pause_holds_until_it_is_resumed),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
