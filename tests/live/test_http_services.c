/* SPDX-License-Identifier: MIT
 * Jobs for several services over HTTP. */
#include "http_world.h"

#include "buf.h"
#include "job.h"

#define PURGE "/v1/purge"
#define BULK "/v1/purge/bulk"
#define BOTH "\"service\":[\"news\",\"" SHOP "\"]"

static void refuse(struct world *w, int status, const char *why, const char *body)
{
    const struct http_reply *r = http_expect(w->h, status, "POST", PURGE, body, KEY_HEADER, NULL);

    assert_string_equal(http_text(r, "detail"), why);
    http_expect(w->h, status, "POST", "/v1/plan", body, KEY_HEADER, NULL);
}

/* The key was purged once for each of the two services. */
static void assert_sent_for_both(struct world *w, const char *key)
{
    const struct request *first, *second;

    rig_await(w->r, requests_naming(&w->r->requests, key, 200) >= 2);
    assert_int_equal(requests_naming(&w->r->requests, key, ANY_STATUS), 2);
    first = requests_find(&w->r->requests, key, 0);
    second = requests_find(&w->r->requests, key, 1);
    assert_string_not_equal(first->service, second->service);
}

static void a_list_of_services_is_a_job_for_each(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r;

    r = http_expect(w.h, 200, "POST", PURGE,
                    "{" BOTH ",\"keys\":[\"a\",\"b\"],\"urls\":[\"https://www.example.com/\"]}",
                    KEY_HEADER, "Prefer: wait=60", NULL);
    assert_int_equal(http_number(r, "targets"), 5);
    assert_int_equal(http_number(r, "cost"), 5);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(r->json, "receipt"), "state")), "purged");
    assert_sent_for_both(&w, "a");
    assert_sent_for_both(&w, "b");
    world_assert_sent(&w, "https://www.example.com/", false);
    /* The same service by both its names is one. */
    r = http_expect(w.h, 202, "POST", PURGE,
                    "{\"service\":[\"news\",\"" NEWS "\",\"news\"],\"keys\":[\"c\"]}", KEY_HEADER,
                    NULL);
    assert_int_equal(http_number(r, "targets"), 1);
    world_assert_sent(&w, "c", false);
    world_close(&w);
}

static long long plan_number(const struct http_reply *r, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(r->json, "total"), name));
}

static void where_a_request_costs_one_each_service_has_its_own(void **state)
{
    struct world w = world_open(state, "    budget: {batch_cost: request}\n", CMS);
    struct buf text;
    const struct http_reply *r;

    rig_dispatch_pause(w.r, true);
    buf_init(&text, 65536);
    buf_printf(&text, "{" BOTH ",\"keys\":[");
    for (int i = 0; i < 200; i++)
        buf_printf(&text, "%s\"k%d\"", i ? "," : "", i);
    buf_printf(&text, "]}");
    r = http_expect(w.h, 202, "POST", PURGE, text.p, KEY_HEADER, NULL);
    assert_int_equal(http_number(r, "targets"), 400);
    assert_int_equal(http_number(r, "cost"), 2);
    r = http_expect(w.h, 200, "POST", "/v1/plan", text.p, KEY_HEADER, NULL);
    assert_int_equal(plan_number(r, "targets"), 400);
    assert_int_equal(plan_number(r, "requests"), 2);
    assert_int_equal(plan_number(r, "cost"), 2);
    buf_deinit(&text);
    rig_dispatch_pause(w.r, false);
    world_flush(&w);
    world_close(&w);
}

static void what_is_wrong_with_the_services_is_said(void **state)
{
    char *other = alloc_printf("  - name: second\n    api: %s\n    ca_file: %s\n"
                               "    services: [{id: SU3Third, name: third}]\n",
                               sandbox_api(*state), sandbox_ca(*state));
    struct world w = world_open(state, other, CMS "    accounts: [main]\n");
    struct buf text;

    free(other);
    refuse(&w, 400, "service: the list is empty", "{\"service\":[],\"keys\":[\"a\"]}");
    refuse(&w, 400, "service: the list may only hold texts", "{\"service\":[1],\"keys\":[\"a\"]}");
    refuse(&w, 400, "service: empty", "{\"service\":[\"news\",\"\"],\"keys\":[\"a\"]}");
    refuse(&w, 400, "service: \"third\" is not a service of account main",
           "{\"service\":[\"news\",\"third\"],\"keys\":[\"a\"]}");
    buf_init(&text, 4096);
    buf_printf(&text, "{\"keys\":[\"a\"],\"service\":[\"s0\"");
    for (int i = 1; i <= JOB_SERVICES_MAX; i++)
        buf_printf(&text, ",\"s%d\"", i);
    buf_printf(&text, "]}");
    refuse(&w, 400, "service: more than 64 services in one job", text.p);
    buf_deinit(&text);
    rig_await_empty(w.r);
    assert_int_equal(world_count(&w, "keys"), 0);
    world_close(&w);
}

static void a_producer_needs_all_services_of_a_job(void **state)
{
    struct world w = world_open(state, "", CMS "    services: [news]\n");

    refuse(&w, 403, "service: this producer may not purge the service \"" SHOP "\"",
           "{" BOTH ",\"keys\":[\"a\"]}");
    refuse(&w, 403, "service: this producer may not purge the service \"shop\"",
           "{\"service\":[\"shop\",\"news\"],\"all\":false,\"keys\":[\"a\"]}");
    refuse(&w, 403, "service: this producer may not purge this service",
           "{\"service\":[\"shop\"],\"keys\":[\"a\"]}");
    http_expect(w.h, 202, "POST", PURGE, "{\"service\":[\"news\"],\"keys\":[\"last\"]}", KEY_HEADER,
                NULL);
    world_assert_sent(&w, "last", false);
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 0);
    world_close(&w);
}

static void lines_of_a_bulk_may_name_several(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", BULK,
                    "{" BOTH ",\"keys\":[\"bulk-1\"]}\n"
                    "{\"service\":[\"news\",\"nosuch\"],\"keys\":[\"bulk-2\"]}\n",
                    KEY_HEADER, NULL);

    assert_non_null(strstr(r->body, "{\"line\":1,\"job\":\"normal-"));
    assert_non_null(strstr(r->body, "nosuch"));
    assert_sent_for_both(&w, "bulk-1");
    assert_int_equal(requests_naming(&w.r->requests, "bulk-2", ANY_STATUS), 0);
    world_close(&w);
}

static void an_idempotency_key_covers_the_services(void **state)
{
    struct world w = world_open(state, "", CMS);
    const char *body = "{" BOTH ",\"keys\":[\"once\"]}";
    struct job first = world_job(
        http_expect(w.h, 202, "POST", PURGE, body, KEY_HEADER, "Idempotency-Key: k", NULL));
    const struct http_reply *r =
        http_expect(w.h, 202, "POST", PURGE, body, KEY_HEADER, "Idempotency-Key: k", NULL);

    assert_string_equal(http_text(r, "job"), first.id);
    http_expect(w.h, 422, "POST", PURGE, "{\"service\":[\"news\"],\"keys\":[\"once\"]}", KEY_HEADER,
                "Idempotency-Key: k", NULL);
    assert_sent_for_both(&w, "once");
    world_close(&w);
}

/* The account "second" has a service that Fastly does not know. */
static void the_receipt_and_the_letter_name_the_service_that_failed(void **state)
{
    char *cms = world_producer("urls", "another-token", "    kinds: [url]\n    services: [here]\n"),
         *other = alloc_printf("  - name: second\n    api: %s\n    ca_file: %s\n    attempts: 1\n"
                               "    services: [{id: " NEWS ", name: here}, "
                               "{id: SU9NotThere, name: gone}]\n",
                               sandbox_api(*state), sandbox_ca(*state)),
         *global = alloc_printf(CMS "    admin: true\n%s", cms), target[160];
    struct world w = world_open(state, other, global);
    const struct http_reply *r;
    const json_t *list, *letter;

    free(cms);
    free(other);
    free(global);
    r = http_expect(w.h, 200, "POST", PURGE,
                    "{\"account\":\"second\",\"service\":[\"gone\",\"here\"],\"keys\":[\"a\"],"
                    "\"ref\":\"r\"}",
                    KEY_HEADER, "Prefer: wait=60", NULL);
    snprintf(target, sizeof(target), "/v1/jobs/%s?account=second", http_text(r, "job"));
    r = http_expect(w.h, 200, "GET", target, NULL, KEY_HEADER, NULL);
    http_assert_text(r, "state", "dead");
    list = json_object_get(r->json, "failed_services");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "SU9NotThere");
    r = http_expect(w.h, 200, "GET", target, NULL, "Fastly-Key: another-token", NULL);
    http_assert_text(r, "state", "dead");
    assert_null(json_object_get(r->json, "failed_services"));
    r = http_expect(w.h, 200, "GET", "/v1/dead?account=second", NULL, KEY_HEADER, NULL);
    letter = json_array_get(json_object_get(r->json, "letters"), 0);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(letter, "fields"), "service")),
        "SU9NotThere");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_list_of_services_is_a_job_for_each),
        rig_test(where_a_request_costs_one_each_service_has_its_own),
        rig_test(what_is_wrong_with_the_services_is_said),
        rig_test(a_producer_needs_all_services_of_a_job),
        rig_test(lines_of_a_bulk_may_name_several),
        rig_test(an_idempotency_key_covers_the_services),
        rig_test(the_receipt_and_the_letter_name_the_service_that_failed),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
