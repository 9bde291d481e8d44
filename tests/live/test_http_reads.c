/* SPDX-License-Identifier: MIT
 * Requests of Fastly's clients that are not purges. The answers have the format of Fastly's, and
 * contain only what the producer may see. */
#include "http_fastly.h"

#define TWO                                                                                        \
    "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256                                 \
    "\"\n    kinds: [url, key, all]\n    services: [shop]\n"

static const struct http_reply *get(struct world *w, const char *target)
{
    return http_expect(w->h, 200, "GET", target, NULL, KEY_HEADER, "Accept: application/json",
                       NULL);
}

static void assert_not_found(struct world *w, const char *target)
{
    const struct http_reply *r = http_expect(w->h, 404, "GET", target, NULL, KEY_HEADER, NULL);

    http_assert_text(r, "msg", "Record not found");
    http_assert_text(r, "detail", "Cannot find service");
}

static void assert_name_at(const struct http_reply *r, size_t i, const char *name)
{
    const json_t *service = json_array_get(r->json, i);

    assert_string_equal(json_string_value(json_object_get(service, "name")), name);
}

/* -- services -- */

/* go-fastly's SearchService and the CLI's `service search`: "search" is not a service id. */
static void a_service_is_found_by_its_name(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/service/search?name=news");

    http_assert_text(r, "id", NEWS);
    http_assert_text(r, "name", "news");
    assert_true(json_is_array(json_object_get(r->json, "versions")));
    http_assert_text(get(&w, "/service/search?name=%73ho%70"), "id", SHOP);
    assert_not_found(&w, "/service/search?name=nobody");
    assert_not_found(&w, "/service/search?name=news+x");
    http_expect(w.h, 400, "GET", "/service/search", NULL, KEY_HEADER, NULL);
    http_expect(w.h, 400, "GET", "/service/search?name=", NULL, KEY_HEADER, NULL);
    world_close(&w);
}

/* Used by go-fastly's GetServiceDetails, the CLI's `service describe`, and Terraform. */
static void details_and_versions_say_only_what_is_known(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/service/" NEWS "/details");

    http_assert_text(r, "id", NEWS);
    http_assert_text(r, "name", "news");
    assert_null(json_object_get(r->json, "active_version"));
    assert_null(json_object_get(r->json, "version"));
    assert_null(json_object_get(r->json, "type"));
    assert_int_equal(json_array_size(json_object_get(r->json, "versions")), 0);
    r = get(&w, "/service/" NEWS "/version");
    assert_true(json_is_array(r->json) && json_array_size(r->json) == 0);
    assert_not_found(&w, "/service/" NOBODY "/details");
    assert_not_found(&w, "/service/" NOBODY "/version");
    world_close(&w);
}

/* A client that reads pages until one is empty must come to an end. */
static void pages_of_services_come_to_an_end(void **state)
{
    struct world w = fastly_open(state);

    assert_int_equal(json_array_size(get(&w, "/service?page=1")->json), 2);
    assert_int_equal(json_array_size(get(&w, "/service?page=2")->json), 0);
    assert_int_equal(json_array_size(get(&w, "/service?page=1&per_page=100")->json), 2);
    assert_int_equal(json_array_size(get(&w, "/service?page=2&per_page=100")->json), 0);
    assert_name_at(get(&w, "/service?direction=ascend&page=1&per_page=1&sort=created"), 0, "news");
    assert_int_equal(json_array_size(get(&w, "/service?page=2&per_page=1")->json), 1);
    assert_name_at(get(&w, "/service?page=2&per_page=1"), 0, "shop");
    assert_int_equal(json_array_size(get(&w, "/service?page=3&per_page=1")->json), 0);
    assert_int_equal(json_array_size(get(&w, "/service?page=18446744073709551615"
                                             "&per_page=18446744073709551615")
                                         ->json),
                     0);
    http_expect(w.h, 400, "GET", "/service?page=0", NULL, KEY_HEADER, NULL);
    http_expect(w.h, 400, "GET", "/service?page=1&per_page=many", NULL, KEY_HEADER, NULL);
    world_close(&w);
}

/* -- the owner of the token -- */

/* In fastly-py 14.1 model/token_response.py, and in php, ruby and rust, `scope` is an enum of
 * single values, and "purge_select purge_all" raises an exception. */
static void a_token_with_two_scopes_has_no_single_one(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/tokens/self");

    assert_null(json_object_get(r->json, "scope"));
    assert_int_equal(json_array_size(json_object_get(r->json, "scopes")), 2);
    assert_null(json_object_get(r->json, "created_at"));
    assert_null(json_object_get(r->json, "expires_at")); /* null would raise an exception there */
    world_close(&w);
}

static void the_customer_is_the_account(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/current_customer");

    http_assert_text(r, "id", "main");
    http_assert_text(r, "name", "main");
    http_assert_text(get(&w, "/tokens/self"), "customer_id", "main");
    http_assert_text(get(&w, "/current_user"), "customer_id", "main");
    http_assert_text(get(&w, "/service/" NEWS), "customer_id", "main");
    world_close(&w);
}

/* fastly/cli pkg/commands/whoami/root.go: VerifyResponse. */
static void whoami_is_answered(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/verify");
    const json_t *services = json_object_get(r->json, "services");
    const char *user, *login, *customer, *token, *scope;

    assert_int_equal(json_unpack(r->json, "{s{ssss}s{ss}s{ssss}}", "user", "name", &user, "login",
                                 &login, "customer", "id", &customer, "token", "name", &token,
                                 "scope", &scope),
                     0);
    assert_string_equal(user, "cms");
    assert_string_equal(login, "cms");
    assert_string_equal(customer, "main");
    assert_string_equal(token, "cms");
    assert_string_equal(scope, "purge_select purge_all");
    assert_int_equal(json_object_size(services), 2);
    assert_string_equal(json_string_value(json_object_get(services, SHOP)), "shop");
    world_close(&w);
}

static void what_a_producer_may_not_purge_it_does_not_see(void **state)
{
    struct world w = world_open(state, PURGE_ALL, TWO);

    assert_int_equal(json_array_size(get(&w, "/service?page=1")->json), 1);
    assert_not_found(&w, "/service/search?name=news");
    assert_not_found(&w, "/service/" NEWS "/details");
    assert_not_found(&w, "/service/" NEWS "/version");
    get(&w, "/service/" SHOP "/details");
    assert_int_equal(json_object_size(json_object_get(get(&w, "/verify")->json, "services")), 1);
    world_close(&w);
}

static void reads_need_a_token(void **state)
{
    static const char *const targets[] = {"/service/search?name=news", "/service?page=2",
                                          "/service/" NEWS "/details", "/verify",
                                          "/service/" NEWS "/version", "/current_customer"};
    struct world w = fastly_open(state);

    for (size_t i = 0; i < array_len(targets); i++)
        http_assert_text(http_expect(w.h, 401, "GET", targets[i], NULL, NULL), "msg",
                         "Provided credentials are missing or invalid");
    world_close(&w);
}

/* -- Fastly's addresses -- */

/* Generated clients send no token with this request, but go-fastly does. */
static void the_addresses_are_what_fastly_says(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = http_expect(w.h, 200, "GET", "/public-ip-list", NULL, NULL);
    const char *four, *six;

    assert_int_equal(json_unpack(r->json, "{s[s]s[s]}", "addresses", &four, "ipv6_addresses", &six),
                     0);
    assert_string_equal(four, "192.0.2.0/24");
    assert_string_equal(six, "2001:db8::/32");
    get(&w, "/public-ip-list");
    (void)requests_with_status(&w.r->requests, 200);
    assert_int_equal(world_count(&w, "other"), 1); /* Fastly was asked only once */
    world_close(&w);
}

static void addresses_that_fastly_does_not_tell_are_not_invented(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r;

    sandbox_fault(w.r->sandbox, "not_found=1");
    r = http_expect(w.h, 503, "GET", "/public-ip-list", NULL, NULL);
    assert_non_null(http_header(r, "Retry-After"));
    http_assert_text(r, "detail", "Fastly does not return its list of addresses");
    instance_await_said(&w.r->instances[0], "why=\"its answer is 404", 1);
    world_close(&w);
}

/* All clients that wait share one request to Fastly. When the daemon is stopped, they do not delay
 * it further. */
static void a_fastly_that_is_slow_to_tell_its_addresses_holds_nobody_up(void **state)
{
    struct world w = world_open(state, "    timeout_ms: 2000\n", CMS);

    sandbox_fault(w.r->sandbox, "latency_ms=60000&kind=other");
    for (int i = 0; i < 3; i++)
        (void)http_begin(w.h, "GET", "/public-ip-list", NULL, NULL);
    for (int i = 0; i < 3; i++) {
        struct http_call *c = http_next(w.h);

        assert_int_equal(http_call_reply(c)->status, 503);
        http_drop(c);
    }
    /* The failure is cached, so Fastly is not asked again at once. */
    http_expect(w.h, 503, "GET", "/public-ip-list", NULL, NULL);
    rig_stop(w.r, 0);
    rig_configure(w.r, "    timeout_ms: 2000\n", HTTP_LISTENS CMS);
    http_close(w.h);
    w.h = http_serve(w.r, 0);
    (void)http_begin(w.h, "GET", "/public-ip-list", NULL, NULL);
    http_run(w.h, 100);
    rig_stop(w.r, 0);
    world_close(&w);
}

/* -- the CLI's account endpoint -- */

static void assert_issuer(struct world *w, const char *host, const char *more, const char *issuer)
{
    const struct http_reply *r =
        http_expect(w->h, 200, "GET", "/realms/fastly/.well-known/openid-configuration", NULL, host,
                    more, NULL);
    char *token = alloc_printf("%s/protocol/openid-connect/token", issuer);

    http_assert_text(r, "issuer", issuer);
    http_assert_text(r, "token_endpoint", token);
    assert_true(strlen(http_text(r, "authorization_endpoint")) > 0);
    assert_true(strlen(http_text(r, "jwks_uri")) > 0);
    assert_int_equal(json_array_size(json_object_get(r->json, "response_types_supported")), 1);
    assert_int_equal(json_array_size(json_object_get(r->json, "subject_types_supported")), 1);
    assert_string_equal(http_header(r, "Cache-Control"), "no-store");
    free(token);
}

static void openid_metadata_lead_to_where_the_caller_is(void **state)
{
    struct world w = fastly_open(state);

    assert_issuer(&w, "Host: purge.example.com:8126", NULL,
                  "http://purge.example.com:8126/realms/fastly");
    assert_issuer(&w, "Host: [::1]:8126", NULL, "http://[::1]:8126/realms/fastly");
    assert_issuer(&w, "Host: purge_line.example.com", "X-Forwarded-Proto: https",
                  "https://purge_line.example.com/realms/fastly");
    assert_issuer(&w, "Host: a", "X-Forwarded-Proto: javascript", "http://a/realms/fastly");
    http_expect(w.h, 400, "GET", "/realms/fastly/.well-known/openid-configuration", NULL,
                "Host: a\"b", NULL);
    http_expect(w.h, 400, "GET", "/realms/fastly/.well-known/openid-configuration", NULL,
                "Host: a/b", NULL);
    http_expect(w.h, 404, "GET", "/realms/other/.well-known/openid-configuration", NULL, NULL);
    world_close(&w);
}

static void over_tls_they_say_https(void **state)
{
    struct world w = {.r = rig_open(state, "", "")};
    const char *d = w.r->folder;
    char *made = alloc_printf("cd '%s' && openssl req -x509 -newkey ec -pkeyopt "
                              "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 -addext "
                              "subjectAltName=IP:127.0.0.1 -keyout key -out pem >made.log 2>&1",
                              d);
    char *global = alloc_printf(
        HTTP_LISTENS "http: {tls_cert_file: %s/pem, tls_key_file: %s/key}\n" CMS, d, d);
    char *ca = alloc_printf("%s/pem", d);

    assert_int_equal(system(made), 0);
    rig_configure(w.r, "", global);
    instance_await_said(rig_start_leading(w.r, 0), "The HTTP endpoint listens", 1);
    w.h = http_of(w.r, 0, "https", ca);
    assert_issuer(&w, "Host: purge.example.com", NULL, "https://purge.example.com/realms/fastly");
    free(made);
    free(global);
    free(ca);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_service_is_found_by_its_name),
        rig_test(details_and_versions_say_only_what_is_known),
        rig_test(pages_of_services_come_to_an_end),
        rig_test(a_token_with_two_scopes_has_no_single_one),
        rig_test(the_customer_is_the_account),
        rig_test(whoami_is_answered),
        rig_test(what_a_producer_may_not_purge_it_does_not_see),
        rig_test(reads_need_a_token),
        rig_test(the_addresses_are_what_fastly_says),
        rig_test(addresses_that_fastly_does_not_tell_are_not_invented),
        rig_test(a_fastly_that_is_slow_to_tell_its_addresses_holds_nobody_up),
        rig_test(openid_metadata_lead_to_where_the_caller_is),
        rig_test(over_tls_they_say_https),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
