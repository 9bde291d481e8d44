/* SPDX-License-Identifier: MIT
 * Fastly's API as used by publishing systems and package registries. Each test sends a request that
 * one of them is known to send, checks the answer as that program does, and then checks what was
 * sent to Fastly. */
#include "http_fastly.h"
#include "rawhttp.h"

/* -- publishing systems -- */

/* Before it purges, the plugin looks up the service by its name. It purges softly by default, even
 * everything. */
static void wordpress_finds_its_service_and_purges_softly(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = http_expect(w.h, 200, "GET", "/service/" NEWS, NULL, KEY_HEADER,
                                             "Accept: application/json", NULL);

    http_assert_text(r, "name", "news");
    http_assert_text(r, "id", NEWS);
    r = http_expect(w.h, 200, "POST", KEYS, "", KEY_HEADER, "Fastly-Soft-Purge: 1",
                    "Surrogate-Key: p-17 tm-post home",
                    "Content-Type: application/x-www-form-urlencoded; charset=UTF-8", NULL);
    assert_map(r, 3);
    world_assert_sent(&w, "p-17", true); /* otherwise purge-all would absorb it */
    http_assert_text(http_expect(w.h, 200, "POST", ALL, "", KEY_HEADER, "Fastly-Soft-Purge: 1",
                                 "Content-Type: application/x-www-form-urlencoded", NULL),
                     "status", "ok");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

static void wordpress_purges_a_page_at_the_site_itself(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "PURGE", "/2024/hello/?preview=1", NULL,
                          "Host: www.example.com", KEY_HEADER, "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, "www.example.com/2024/hello/?preview=1", true);
    world_close(&w);
}

/* The plugin shows the text in msg. */
static void wordpress_is_told_why_in_msg(void **state)
{
    struct world w = fastly_open(state);

    http_assert_text(
        http_expect(w.h, 401, "GET", "/service/" NEWS, NULL, "Fastly-Key: wrong", NULL), "msg",
        "Provided credentials are missing or invalid");
    http_assert_text(http_expect(w.h, 404, "GET", "/service/" NOBODY, NULL, KEY_HEADER, NULL),
                     "msg", "Record not found");
    world_close(&w);
}

static bool among(const json_t *list, const char *text)
{
    size_t i;
    json_t *value;

    json_array_foreach(list, i, value)
    {
        if (strcmp(json_string_value(value), text) == 0)
            return true;
    }
    return false;
}

/* The settings form accepts a token with both scopes, or a global token of a user with the role
 * engineer, if it is valid for the service. */
static void drupal_believes_in_the_token_and_purges(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r =
        http_expect(w.h, 200, "GET", "/tokens/self", NULL, KEY_HEADER, NULL);
    const json_t *services = json_object_get(r->json, "services");

    assert_true(among(json_object_get(r->json, "scopes"), "purge_all"));
    assert_true(among(json_object_get(r->json, "scopes"), "purge_select"));
    assert_true(among(services, NEWS) && among(services, SHOP));
    assert_null(json_object_get(r->json, "expires_at"));
    http_assert_text(http_expect(w.h, 200, "GET", "/current_user", NULL, KEY_HEADER, NULL), "role",
                     "engineer");
    http_assert_text(http_expect(w.h, 200, "GET", "/service/" NEWS, NULL, KEY_HEADER, NULL), "name",
                     "news");
    assert_map(http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER, "Accept: application/json",
                           "Surrogate-Key: x1f4 9ab2", NULL),
               2);
    assert_ok(http_expect(w.h, 200, "POST", "/purge/https://www.example.com/node/17?page=2", NULL,
                          KEY_HEADER, "Accept: application/json", NULL));
    world_assert_sent(&w, "9ab2", false);
    world_assert_sent(&w, "https://www.example.com/node/17?page=2", false);
    world_close(&w);
}

/* Drupal's settings show what the token does not permit. */
static void a_token_that_may_not_purge_all_does_not_say_it_may(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r =
        http_expect(w.h, 200, "GET", "/tokens/self", NULL, KEY_HEADER, NULL);

    http_assert_text(r, "scope", "purge_select");
    assert_false(among(json_object_get(r->json, "scopes"), "purge_all"));
    http_assert_text(http_expect(w.h, 200, "GET", "/current_user", NULL, KEY_HEADER, NULL), "role",
                     "user");
    world_close(&w);
}

/* Acquia's module stops for 12 hours when it gets exactly this sentence. */
static void acquia_is_told_of_an_unknown_service_in_fastlys_words(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = http_expect(w.h, 404, "POST", "/service/" NOBODY "/purge", NULL,
                                             KEY_HEADER, "Surrogate-Key: a", NULL);

    http_assert_text(r, "msg", "Record not found");
    http_assert_text(r, "detail", "Cannot find service");
    world_close(&w);
}

/* Requests of Magento's module for Fastly, Model/Api.php (cleanBySurrogateKey, cleanAll) of
 * https://github.com/fastly/fastly-magento2 , as sent by src/Client.php of
 * https://github.com/laminas/laminas-http . It treats every status but 200 as a failure. */
#define LAMINAS                                                                                    \
    " HTTP/1.1\r\n"                                                                                \
    "Host: api.fastly.com\r\n"                                                                     \
    "Connection: close\r\n"                                                                        \
    "Accept-Encoding: gzip, deflate\r\n"                                                           \
    "User-Agent: Laminas_Http_Client\r\n"
#define LAMINAS_END KEY_HEADER "\r\nFastly-Soft-Purge: 1\r\n\r\n"

static void say(const struct world *w, const char *bytes, const char *answer)
{
    struct rawhttp r;
    struct rawhttp_answer a;

    rawhttp_open(&r, rawhttp_port(&w->r->instances[0]));
    rawhttp_send(&r, bytes, strlen(bytes));
    a = rawhttp_await(&r);
    assert_int_equal(a.status, 200);
    assert_true(rawhttp_says(&a, answer));
    rawhttp_close(&r);
}

static void magento_sends_json_without_a_type_and_nothing_without_a_length(void **state)
{
    struct world w = fastly_open(state);

    say(&w,
        "POST " KEYS LAMINAS "Content-Length: 37\r\n" LAMINAS_END
        "{\"surrogate_keys\":[\"cat_p_7\",\"text\"]}",
        "\"cat_p_7\":");
    world_assert_sent(&w, "cat_p_7", true);
    world_assert_sent(&w, "text", true);
    say(&w, "POST " ALL LAMINAS LAMINAS_END, "\"ok\"");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

/* Older versions use PHP's curl, which sends JSON with the Content-Type of a form. */
static void magento_sends_json_under_another_name(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"cat_p_7\",\"text\"]}",
                           KEY_HEADER, "Fastly-Soft-Purge: 1",
                           "Content-Type: application/x-www-form-urlencoded", NULL),
               2);
    world_assert_sent(&w, "cat_p_7", true);
    http_assert_text(http_expect(w.h, 200, "POST", ALL, "", KEY_HEADER, "Fastly-Soft-Purge: 1",
                                 "Content-Type: application/x-www-form-urlencoded", NULL),
                     "status", "ok");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

/* S19: the module returned inside its loop if notifications to a chat were on. In our case there is
 * one request, and all of its keys are sent. */
static void s19_every_key_of_six_hundred_in_a_body_is_sent(void **state)
{
    struct world w = fastly_open(state);
    json_t *keys = json_array(), *doc = json_pack("{so}", "surrogate_keys", keys);
    char key[32], *body;

    for (unsigned i = 0; i < 600; i++) {
        snprintf(key, sizeof(key), "product,%u", i);
        json_array_append_new(keys, json_string(key));
    }
    body = json_dumps(doc, JSON_COMPACT);
    assert_map(http_expect(w.h, 200, "POST", KEYS, body, KEY_HEADER, NULL), 600);
    free(body);
    json_decref(doc);
    world_flush(&w);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(key, sizeof(key), "product,%u", i);
        assert_int_equal(requests_naming(&w.r->requests, key, 200), 1);
    }
    world_close(&w);
}

/* FOSHttpCache is used by Symfony and others. S18: its second call within a flush had the same
 * signature as the first, and was not sent. */
static void s18_two_calls_of_foshttpcache_with_the_same_target_both_arrive(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS,
                           "{\"surrogate_keys\":[\"post-1\",\"post,type-3\"]}", KEY_HEADER,
                           "Accept: application/json", "Fastly-Soft-Purge: 1", NULL),
               2);
    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"post-2\"]}", KEY_HEADER,
                           "Accept: application/json", "Fastly-Soft-Purge: 1", NULL),
               1);
    assert_ok(http_expect(w.h, 200, "PURGE", "/foo?x=1", NULL, "Host: www.example.com", KEY_HEADER,
                          "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, "post-1", true);
    world_assert_sent(&w, "post,type-3", true);
    world_assert_sent(&w, "post-2", true);
    world_assert_sent(&w, "www.example.com/foo?x=1", true);
    world_close(&w);
}

/* The header is always present, with the value 0 or 1. Like for Fastly, only its presence counts.
 */
static void shopware_always_sends_the_soft_header(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, NULL, "fastly-key: " TOKEN,
                           "surrogate-key: product-1 nav", "fastly-soft-purge: 0", NULL),
               2);
    world_assert_sent(&w, "nav", true);
    assert_ok(http_expect(w.h, 200, "POST", "/purge/shop.example.com/detail/1", NULL,
                          "fastly-key: " TOKEN, "fastly-soft-purge: 0", NULL));
    http_expect(w.h, 200, "POST", ALL, NULL, "fastly-key: " TOKEN, "fastly-soft-purge: 0", NULL);
    world_assert_sent(&w, "shop.example.com/detail/1", true);
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

static void typo3_ends_the_path_with_a_slash(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS "/", NULL, KEY_HEADER, "Surrogate-Key: pageId_5",
                           "Accept: application/json", NULL),
               1);
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/pageId_6", NULL, "fastly-key: " TOKEN,
                          "fastly-soft-purge: 1", "user-agent: fastly-php/v13.1.0", NULL));
    world_assert_sent(&w, "pageId_5", false);
    world_assert_sent(&w, "pageId_6", true);
    world_close(&w);
}

/* -- package registries and others -- */

static void pypi_purges_a_key_softly_and_reads_ok(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", KEYS "/project/requests", NULL, KEY_HEADER,
                          "Accept: application/json", "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, "project/requests", true);
    world_close(&w);
}

static void rubygems_purges_at_the_site_with_its_key(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "PURGE", "/versions", NULL, "Host: rubygems.example.org",
                          KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/gem/rails", NULL, KEY_HEADER,
                          "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, "rubygems.example.org/versions", false);
    world_assert_sent(&w, "gem/rails", true);
    world_close(&w);
}

/* The request has the form of a request to a proxy: the target contains the host. */
static void a_purge_with_an_absolute_target_is_of_that_url(void **state)
{
    static const char url[] = "http://www.example.com//a/b?x=1&x=2";
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "PURGE", url, NULL, "Host: www.example.com", KEY_HEADER, NULL));
    world_assert_sent(&w, url, false);
    world_close(&w);
}

/* app/services/edge_cache/bust/fastly.rb purges the URL, and then the URL with a query for a
 * variant. S47: the client names all variants itself, and each is sent. */
static void s47_forem_purges_a_page_and_its_variant(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", "/purge/https://dev.example.com/ben/post-1", NULL,
                          KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", "/purge/https://dev.example.com/ben/post-1?i=i", NULL,
                          KEY_HEADER, NULL));
    world_assert_sent(&w, "https://dev.example.com/ben/post-1", false);
    world_assert_sent(&w, "https://dev.example.com/ben/post-1?i=i", false);
    world_close(&w);
}

static void hexpm_sends_json_and_wants_exactly_200(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"registry\"]}",
                           "fastly-key: " TOKEN, "accept: application/json",
                           "content-type: application/json", NULL),
               1);
    world_assert_sent(&w, "registry", false);
    world_close(&w);
}

/* Kestra uses URLEncoder and replaces each plus by %20. The keys have no spaces but many other
 * characters. */
static void kestra_encodes_whatever_is_no_letter(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", KEYS "/blog%2Fpost%3A1%2B2%40x", NULL, KEY_HEADER,
                          "Content-Type: application/json", NULL));
    world_assert_sent(&w, "blog/post:1+2@x", false);
    /* A key with a space is invalid: Fastly would treat it as two keys or as none. */
    http_assert_text(http_expect(w.h, 400, "POST", KEYS "/two%20words", NULL, KEY_HEADER, NULL),
                     "status", "fail");
    world_close(&w);
}

/* The clients of The Guardian and Chef do not escape slashes in the path. */
static void the_guardian_sends_keys_with_slashes(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(
        http_expect(w.h, 200, "POST", KEYS "/stable/automate//latest", NULL, KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/plain?format=json", NULL, KEY_HEADER, NULL));
    world_assert_sent(&w, "stable/automate//latest", false);
    world_assert_sent(&w, "plain", false);
    world_close(&w);
}

/* crates.io and GitHub Docs send URLs without a scheme. */
static void a_url_without_a_scheme_is_sent_without_one(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", "/purge/static.crates.example/crates//a.crate?%zz",
                          NULL, KEY_HEADER, NULL));
    world_assert_sent(&w, "static.crates.example/crates//a.crate?%zz", false);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(wordpress_finds_its_service_and_purges_softly),
        rig_test(wordpress_purges_a_page_at_the_site_itself),
        rig_test(wordpress_is_told_why_in_msg),
        rig_test(drupal_believes_in_the_token_and_purges),
        rig_test(a_token_that_may_not_purge_all_does_not_say_it_may),
        rig_test(acquia_is_told_of_an_unknown_service_in_fastlys_words),
        rig_test(magento_sends_json_without_a_type_and_nothing_without_a_length),
        rig_test(magento_sends_json_under_another_name),
        rig_test(s19_every_key_of_six_hundred_in_a_body_is_sent),
        rig_test(s18_two_calls_of_foshttpcache_with_the_same_target_both_arrive),
        rig_test(shopware_always_sends_the_soft_header),
        rig_test(typo3_ends_the_path_with_a_slash),
        rig_test(pypi_purges_a_key_softly_and_reads_ok),
        rig_test(rubygems_purges_at_the_site_with_its_key),
        rig_test(a_purge_with_an_absolute_target_is_of_that_url),
        rig_test(s47_forem_purges_a_page_and_its_variant),
        rig_test(hexpm_sends_json_and_wants_exactly_200),
        rig_test(kestra_encodes_whatever_is_no_letter),
        rig_test(the_guardian_sends_keys_with_slashes),
        rig_test(a_url_without_a_scheme_is_sent_without_one),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
