/* SPDX-License-Identifier: MIT
 * POST /v1/purge and related routes: every field of a job takes effect, and clients can wait for
 * its end. */
#include "http_world.h"

#include "clock.h"
#include "rawhttp.h"
#include "shell.h"

#define PURGE "/v1/purge"

static struct world opened(void **state)
{
    return world_open(state, "", "");
}

/* The state of a job according to GET. */
static const char *state_of(struct world *w, const struct job *j)
{
    char target[128];

    snprintf(target, sizeof(target), "/v1/jobs/%s", j->id);
    return http_text(http_do(w->h, "GET", target, NULL, NULL), "state");
}

/* -- fields of a job -- */

static void every_field_of_a_job_does_what_it_says(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r =
        http_expect(w.h, 202, "POST", PURGE,
                    "{\"account\":\"main\",\"service\":\"shop\",\"keys\":[\"a\",\"b/c\"],"
                    "\"urls\":[\"https://www.example.com//x?b=1&a=2\"],\"soft\":true,"
                    "\"lane\":\"urgent\",\"ref\":\"order 17\"}",
                    NULL);
    struct job j = world_job(r);
    char place[160], *ref;

    assert_ptr_equal(strstr(j.id, "urgent-"), j.id);
    http_assert_text(r, "account", "main");
    http_assert_text(r, "lane", "urgent");
    assert_int_equal(http_number(r, "targets"), 3);
    assert_int_equal(http_number(r, "cost"), 3);
    assert_true(http_number(r, "eta_ms") >= 0 && http_number(r, "eta_ms") < 1000);
    snprintf(place, sizeof(place), "/v1/jobs/%s?account=main", j.id);
    assert_string_equal(http_header(r, "Location"), place);
    rig_await_ended(w.r, &j, "purged");
    world_assert_sent(&w, "a", true);
    world_assert_sent(&w, "b/c", true);
    assert_string_equal(world_sent(&w, "a")->service, SHOP);
    world_assert_sent(&w, "https://www.example.com//x?b=1&a=2", true);
    http_assert_text(http_expect(w.h, 200, "GET", place, NULL, NULL), "state", "purged");
    ref = rig_receipt(w.r, &j, "ref");
    assert_string_equal(ref, "order 17");
    free(ref);
    world_close(&w);
}

static void keys_may_be_a_text_and_url_a_single_one(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r = http_expect(
        w.h, 202, "POST", PURGE, "{\"keys\":\"a b\",\"url\":\"www.example.com/x\"}", NULL);

    assert_int_equal(http_number(r, "targets"), 3);
    world_assert_sent(&w, "a", false);
    world_assert_sent(&w, "b", false);
    world_assert_sent(&w, "www.example.com/x", false);
    world_close(&w);
}

static void all_purges_everything_where_it_is_allowed(void **state)
{
    struct world w = world_open(state, "    allow_purge_all: true\n", "");
    const struct http_reply *r =
        http_expect(w.h, 202, "POST", PURGE, "{\"all\":true,\"service\":\"shop\"}", NULL);

    assert_int_equal(http_number(r, "targets"), 1);
    assert_int_equal(http_number(r, "cost"), 0); /* it uses another budget */
    rig_await(w.r, world_count(&w, "all") == 1);
    instance_await_said(&w.r->instances[0], "A producer pushes a purge-all", 1);
    world_close(&w);
}

/* What users type: curl adds the Content-Type of a form. */
static void curl_with_d_works_as_written(void **state)
{
    struct world w = opened(state);
    struct shell s;

    shell_open(&s);
    assert_int_equal(
        shell_run(&s, "curl -sS -m 20 -d '{\"keys\":[\"a\"]}' %s/v1/purge", http_base(w.h)), 0);
    shell_assert_out(&s, "\"job\":\"normal-");
    shell_close(&s);
    world_assert_sent(&w, "a", false);
    world_close(&w);
}

static void a_batch_that_costs_one_says_so(void **state)
{
    struct world w = world_open(state, "    budget: {batch_cost: request}\n", "");
    const struct http_reply *r = http_expect(
        w.h, 202, "POST", PURGE, "{\"keys\":[\"a\",\"b\"],\"urls\":[\"example.com/1\"]}", NULL);

    assert_int_equal(http_number(r, "cost"), 2);
    world_close(&w);
}

static void not_before_is_waited_for(void **state)
{
    struct world w = opened(state);
    uint64_t at_ms = clock_wall_ms() + 1500;
    char *body = alloc_printf("{\"keys\":[\"a\"],\"not_before\":%llu}", (unsigned long long)at_ms);

    http_expect(w.h, 202, "POST", PURGE, body, NULL);
    free(body);
    assert_true(world_sent(&w, "a")->begin_ms >= at_ms);
    world_close(&w);
}

static void repeat_after_purges_twice(void **state)
{
    struct world w = opened(state);
    const struct request *first, *second;

    http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"],\"repeat_after\":400}", NULL);
    rig_await(w.r, requests_naming(&w.r->requests, "a", 200) == 2);
    first = requests_find(&w.r->requests, "a", 0);
    second = requests_find(&w.r->requests, "a", 1);
    assert_true(second->begin_ms >= first->done_ms + 400);
    world_close(&w);
}

/* -- waiting for the end -- */

static const char *receipt_state(const struct http_reply *r)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(r->json, "receipt"), "state"));

    return text ? text : "";
}

static void a_waiting_client_is_told_that_its_job_is_purged(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r = http_expect(w.h, 200, "POST", PURGE, "{\"keys\":[\"a\"]}",
                                             "Prefer: respond-async, wait=20", NULL);

    assert_string_equal(receipt_state(r), "purged");
    assert_int_equal(requests_naming(&w.r->requests, "a", 200), 1);
    world_close(&w);
}

static void a_waiting_client_is_told_that_its_job_is_dead(void **state)
{
    struct world w = world_open(state, "    attempts: 1\n", "");
    const struct http_reply *r;

    sandbox_fault(w.r->sandbox, "status=500");
    r = http_expect(w.h, 200, "POST", PURGE, "{\"keys\":[\"a\"]}", "Prefer: wait=20", NULL);
    assert_string_equal(receipt_state(r), "dead");
    assert_int_equal(rig_dead_count(w.r), 1);
    world_close(&w);
}

static void a_waiting_client_is_told_that_its_job_expired(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r = http_expect(
        w.h, 200, "POST", PURGE, "{\"keys\":[\"a\"],\"expires\":1000}", "Prefer: wait=20", NULL);

    assert_string_equal(receipt_state(r), "expired");
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 0);
    world_close(&w);
}

static void where_no_receipts_are_kept_the_wait_ends_all_the_same(void **state)
{
    struct world w = world_open(state, "    receipts: none\n", "");
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", PURGE, "{\"keys\":[\"a\"]}", "Prefer: wait=20", NULL);

    assert_true(json_is_null(json_object_get(r->json, "receipt")));
    assert_int_equal(requests_naming(&w.r->requests, "a", 200), 1);
    world_close(&w);
}

/* The leader is told by Redis of jobs that were pushed to another instance. */
static void an_instance_that_does_not_lead_takes_jobs_and_waits_for_them(void **state)
{
    struct world w = opened(state);
    struct http *other;
    struct instance *i = rig_start(w.r, 1);

    instance_await_said(i, "The HTTP endpoint listens", 1);
    other = http_of(w.r, 1, "http", NULL);
    await_until(-1, AWAIT_PATIENCE_MS, http_do(other, "GET", "/readyz", NULL, NULL)->status == 200);
    assert_string_equal(receipt_state(http_expect(other, 200, "POST", PURGE, "{\"keys\":[\"a\"]}",
                                                  "Prefer: wait=20", NULL)),
                        "purged");
    assert_int_equal(instance_said(i, "leads the account"), 0);
    http_close(other);
    world_close(&w);
}

/* Only the answer was waited for; the job continues. */
static void patience_that_ends_is_answered_with_202(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r;
    uint64_t began_ns;
    struct job j;

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    began_ns = clock_mono_ns();
    r = http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", "Prefer: wait=1", NULL);
    assert_true(clock_mono_ns() >= began_ns + NS_PER_S);
    j = world_job(r);
    assert_true(json_is_null(json_object_get(r->json, "eta_ms")) || http_number(r, "eta_ms") >= 0);
    rig_dispatch_pause(w.r, false);
    rig_await_ended(w.r, &j, "purged");
    world_close(&w);
}

/* Like printf | nc: the client has closed its sending side, but still wants the answer. Since this
 * looks like a client that has gone, it gets an answer early. */
static void a_client_that_half_closes_while_it_waits_is_answered_early(void **state)
{
    static const char body[] = "{\"keys\":[\"a\"]}";
    struct world w = opened(state);
    struct rawhttp r;
    uint64_t began_ns;

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
    began_ns = clock_mono_ns();
    rawhttp_say(&r,
                "POST " PURGE " HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=120\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                strlen(body), body);
    rawhttp_half_close(&r);
    rawhttp_await_status(&r, 202);
    assert_true(clock_mono_ns() < began_ns + 20 * NS_PER_S);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    world_close(&w);
}

/* With sanitizers, the end of the daemon shows whether memory was leaked. */
static void a_waiting_visitor_who_goes_away_leaves_nothing_behind(void **state)
{
    struct world w = opened(state);
    struct http_call *calls[20];
    struct http *others = http_open(http_base(w.h), NULL);

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    for (size_t i = 0; i < array_len(calls); i++)
        calls[i] = http_begin(others, "POST", PURGE, "{\"keys\":[\"a\"]}", "Prefer: wait=60", NULL);
    while (redis_server_int(w.r->redis, "XLEN purgeline:{main}:jobs:normal") <
           (long long)array_len(calls))
        http_run(others, 10);
    for (size_t i = 0; i < array_len(calls); i++)
        http_drop(calls[i]);
    http_close(others);
    /* Their jobs are still waiting, but this request is the only open one. */
    rig_await(w.r, strstr(http_do(w.h, "GET", "/metrics", NULL, NULL)->body,
                          "\npurgeline_http_visits_under_way 1\n"));
    rig_dispatch_pause(w.r, false);
    rig_await_empty(w.r);
    assert_int_equal(rig_receipts(w.r, "purged"), array_len(calls));
    http_expect(w.h, 200, "POST", PURGE, "{\"keys\":[\"b\"]}", "Prefer: wait=20", NULL);
    world_close(&w);
}

/* -- reading and cancelling -- */

static void a_job_that_is_put_off_can_be_cancelled(void **state)
{
    struct world w = opened(state);
    struct job j;
    char target[128];

    j = world_job(http_expect(w.h, 202, "POST", PURGE,
                              "{\"keys\":[\"a\"],\"not_before\":253402300799000,\"ref\":\"r\"}",
                              NULL));
    rig_await(w.r, redis_server_int(w.r->redis, "ZCARD purgeline:{main}:postponed") == 1);
    assert_string_equal(state_of(&w, &j), "waiting");
    snprintf(target, sizeof(target), "/v1/jobs/%s", j.id);
    http_assert_text(http_expect(w.h, 200, "DELETE", target, NULL, NULL), "state", "cancelled");
    assert_string_equal(state_of(&w, &j), "cancelled");
    assert_int_equal(redis_server_int(w.r->redis, "ZCARD purgeline:{main}:postponed"), 0);
    http_assert_text(http_expect(w.h, 409, "DELETE", target, NULL, NULL), "state", "cancelled");
    world_close(&w);
}

static void a_job_that_ended_cannot_be_cancelled(void **state)
{
    struct world w = opened(state);
    struct job j;
    char target[128];

    j = world_job(http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL));
    rig_await_ended(w.r, &j, "purged");
    snprintf(target, sizeof(target), "/v1/jobs/%s", j.id);
    http_assert_text(http_expect(w.h, 409, "DELETE", target, NULL, NULL), "state", "purged");
    assert_string_equal(state_of(&w, &j), "purged");
    world_close(&w);
}

/* The receipt is written first, so a waiting client gets it, and it is kept. */
static void a_visitor_waiting_for_a_cancelled_job_is_told(void **state)
{
    struct world w = opened(state);
    struct http *other = http_open(http_base(w.h), NULL);
    char target[128], *id;

    (void)http_begin(other, "POST", PURGE, "{\"keys\":[\"a\"],\"not_before\":253402300799000}",
                     "Prefer: wait=60", NULL);
    while (redis_server_int(w.r->redis, "ZCARD purgeline:{main}:postponed") == 0)
        http_run(other, 10);
    id = redis_server_str(w.r->redis, "EVAL %s 0",
                          "local m = redis.call('ZRANGE', 'purgeline:{main}:postponed', 0, 0)[1] "
                          "return m:match('%d%d%d%d%d%d%d%d%d%d%d%d%d%-%d+')");
    snprintf(target, sizeof(target), "/v1/jobs/normal-%s", id);
    free(id);
    http_expect(w.h, 200, "DELETE", target, NULL, NULL);
    assert_string_equal(receipt_state(http_call_reply(http_next(other))), "cancelled");
    http_close(other);
    world_close(&w);
}

static void a_job_that_never_was_is_not_found(void **state)
{
    struct world w = opened(state);

    world_assert_problem(http_do(w.h, "GET", "/v1/jobs/normal-1700000000000-0", NULL, NULL), 404,
                         "job: ");
    world_assert_problem(http_do(w.h, "DELETE", "/v1/jobs/normal-1700000000000-0", NULL, NULL), 404,
                         "job: ");
    world_assert_problem(http_do(w.h, "GET", "/v1/jobs/soon-17-0", NULL, NULL), 400, "job: ");
    world_assert_problem(
        http_do(w.h, "GET", "/v1/jobs/normal-1700000000000-0?account=other", NULL, NULL), 404,
        "account: ");
    world_close(&w);
}

/* -- invalid jobs -- */

static void a_refusal_names_the_field(void **state)
{
    static const struct {
        const char *body, *detail;
    } cases[] = {
        {"{\"keys\":[\"a b\"]}", "keys: "},
        {"{\"keys\":[\"\"]}", "keys: "},
        {"{\"keys\":[\"\xc3\xa9\"]}", "keys: "},
        {"{\"keys\":[17]}", "keys: "},
        {"{\"keys\":\"\"}", "keys: "},
        {"{\"urls\":[\"ftp://example.com/\"]}", "url: "},
        {"{\"urls\":[\"//example.com/\"]}", "url: "},
        {"{\"keys\":[\"a\"],\"not_befor\":1}", "not_befor: "},
        {"{\"keys\":[\"a\"],\"not_before\":\"soon\"}", "not_before: "},
        {"{\"keys\":[\"a\"],\"expires\":-1}", "expires: "},
        {"{\"keys\":[\"a\"],\"repeat_after\":1.5}", "repeat_after: "},
        {"{\"keys\":[\"a\"],\"soft\":\"maybe\"}", "soft: "},
        {"{\"keys\":[\"a\"],\"lane\":\"fast\"}", "lane: "},
        {"{\"keys\":[\"a\"],\"service\":\"nobody\"}", "service: "},
        {"{\"keys\":[\"a\"],\"account\":\"nobody\"}", "account: "},
        {"{\"keys\":[\"a\"],\"ref\":[]}", "ref: "},
        {"{\"all\":true}", "all: "},
        {"[]", "not a JSON object: "},
        {"{\"keys\":[\"a\"]", "not a JSON object: "},
        {"keys=a", "not a JSON object: "},
        {"", "not a JSON object: "},
        {"{\"keys\":[[[[[[[[[[\"a\"]]]]]]]]]]}", "not a job: it is nested too deeply"},
    };
    struct world w = opened(state);

    for (size_t i = 0; i < array_len(cases); i++) {
        const struct http_reply *r = http_do(w.h, "POST", PURGE, cases[i].body, NULL);

        world_assert_problem(r, strncmp(cases[i].detail, "account", 7) == 0 ? 404 : 400,
                             cases[i].detail);
    }
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 0);
    world_close(&w);
}

static char *with_keys(unsigned count)
{
    json_t *keys = json_array(), *doc = json_pack("{so}", "keys", keys);
    char key[16], *text;

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        json_array_append_new(keys, json_string(key));
    }
    text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    return text;
}

/* S47: even if somebody purges all variants of a page, the number of targets of a job is limited.
 */
static void s47_a_job_has_ten_thousand_targets_and_no_more(void **state)
{
    struct world w = world_open(state, "    budget: {purges: 1000000, burst: 1000000}\n", "");
    char *body = with_keys(10000);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", PURGE, body, "Prefer: wait=30", NULL);

    assert_int_equal(http_number(r, "targets"), 10000);
    assert_string_equal(receipt_state(r), "purged");
    free(body);
    body = with_keys(10001);
    world_assert_problem(http_do(w.h, "POST", PURGE, body, NULL), 400, "keys: ");
    free(body);
    world_close(&w);
}

static void a_ref_has_256_bytes_and_no_more(void **state)
{
    struct world w = opened(state);
    char ref[258], *body;

    memset(ref, 'r', sizeof(ref));
    ref[256] = '\0';
    body = alloc_printf("{\"keys\":[\"a\"],\"ref\":\"%s\"}", ref);
    http_expect(w.h, 202, "POST", PURGE, body, NULL);
    free(body);
    ref[256] = 'r';
    ref[257] = '\0';
    body = alloc_printf("{\"keys\":[\"a\"],\"ref\":\"%s\"}", ref);
    world_assert_problem(http_do(w.h, "POST", PURGE, body, NULL), 400, "ref: ");
    free(body);
    world_close(&w);
}

static void another_method_is_told_which_would_do(void **state)
{
    struct world w = opened(state);
    const struct http_reply *r = http_do(w.h, "GET", PURGE, NULL, NULL);

    world_assert_problem(r, 405, "allowed: POST");
    assert_string_equal(http_header(r, "Allow"), "POST");
    world_assert_problem(http_do(w.h, "GET", "/v1/nothing", NULL, NULL), 404, "");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(every_field_of_a_job_does_what_it_says),
        rig_test(keys_may_be_a_text_and_url_a_single_one),
        rig_test(all_purges_everything_where_it_is_allowed),
        rig_test(curl_with_d_works_as_written),
        rig_test(a_batch_that_costs_one_says_so),
        rig_test(not_before_is_waited_for),
        rig_test(repeat_after_purges_twice),
        rig_test(a_waiting_client_is_told_that_its_job_is_purged),
        rig_test(a_waiting_client_is_told_that_its_job_is_dead),
        rig_test(a_waiting_client_is_told_that_its_job_expired),
        rig_test(where_no_receipts_are_kept_the_wait_ends_all_the_same),
        rig_test(an_instance_that_does_not_lead_takes_jobs_and_waits_for_them),
        rig_test(patience_that_ends_is_answered_with_202),
        rig_test(a_client_that_half_closes_while_it_waits_is_answered_early),
        rig_test(a_waiting_visitor_who_goes_away_leaves_nothing_behind),
        rig_test(a_job_that_is_put_off_can_be_cancelled),
        rig_test(a_job_that_ended_cannot_be_cancelled),
        rig_test(a_visitor_waiting_for_a_cancelled_job_is_told),
        rig_test(a_job_that_never_was_is_not_found),
        rig_test(a_refusal_names_the_field),
        rig_test(s47_a_job_has_ten_thousand_targets_and_no_more),
        rig_test(a_ref_has_256_bytes_and_no_more),
        rig_test(another_method_is_told_which_would_do),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
