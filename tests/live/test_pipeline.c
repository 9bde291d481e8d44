/* SPDX-License-Identifier: MIT
 * End to end: purges that are pushed into Redis take effect in a real cache and are counted. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define PAGE "/article/17"

/* Fetches a page until it is in the cache. */
static unsigned cached(struct rig *r, const char *host, const char *path)
{
    struct page page;

    sandbox_page(r->sandbox, host, path);
    page = sandbox_page(r->sandbox, host, path);
    assert_true(page.hit && !page.stale);
    return page.version;
}

static void assert_fresh(struct rig *r, const char *host, const char *path, unsigned old)
{
    struct page page = sandbox_page(r->sandbox, host, path);

    assert_false(page.hit);
    assert_int_equal(page.version, old + 1);
}

static void a_job_pushed_by_hand_makes_its_pages_fresh(void **state)
{
    unsigned one, two, other;
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    one = cached(r, NULL, "/one?keys=a");
    two = cached(r, NULL, "/two?keys=b");
    other = cached(r, NULL, "/other?keys=c");
    j = rig_push(r, "normal", "service", NEWS, "keys", "a b", NULL);
    rig_await_ended(r, &j, "purged");
    assert_fresh(r, NULL, "/one?keys=a", one);
    assert_fresh(r, NULL, "/two?keys=b", two);
    assert_true(sandbox_page(r->sandbox, NULL, "/other?keys=c").hit);
    assert_int_equal(sandbox_page(r->sandbox, NULL, "/other?keys=c").version, other);
    rig_await_empty(r);
    assert_int_equal(redis_server_int(r->redis, "XLEN purgeline:{main}:jobs:normal"), 0);
    assert_int_equal(rig_receipts(r, "purged"), 1);
    assert_int_equal(rig_dead_count(r), 0);
    rig_close(r);
}

static void a_job_pushed_before_the_first_start_counts(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    j = rig_push(r, "bulk", "keys", "early", NULL);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

static void a_url_is_purged_byte_for_byte(void **state)
{
    static const char path[] = "/a//b/?z=1&a=2&a=3;%2e%2F+x*'";
    unsigned version;
    struct rig *r;
    struct job j;
    char url[128];

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    version = cached(r, "www.example.com", path);
    snprintf(url, sizeof(url), "https://www.example.com%s", path);
    j = rig_push(r, "urgent", "url", url, NULL);
    rig_await_ended(r, &j, "purged");
    assert_fresh(r, "www.example.com", path, version);
    rig_await(r, requests_with_status(&r->requests, 200) == 1);
    assert_string_equal(r->requests.at[0].kind, "url");
    assert_string_equal(r->requests.at[0].url, url);
    rig_close(r);
}

static void two_urls_of_one_job_are_two_requests_and_one_receipt(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "url", "www.example.com/1", "url", "www.example.com/2", NULL);
    rig_await_ended(r, &j, "purged");
    rig_await(r, requests_with_status(&r->requests, 200) == 2);
    assert_int_equal(rig_receipts(r, "purged"), 1);
    rig_close(r);
}

static void a_soft_purge_leaves_the_page_stale_until_it_is_fetched_anew(void **state)
{
    struct page page;
    unsigned version;
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    version = cached(r, NULL, PAGE);
    j = rig_push(r, "normal", "keys", "article-17", "soft", "1", NULL);
    rig_await_ended(r, &j, "purged");
    page = sandbox_page(r->sandbox, NULL, PAGE);
    assert_true(page.hit && page.stale);
    assert_int_equal(page.version, version);
    rig_await(r, sandbox_page(r->sandbox, NULL, PAGE).version == version + 1);
    rig_await(r, requests_with_status(&r->requests, 200) == 1);
    assert_true(r->requests.at[0].soft);
    rig_close(r);
}

static void all_of_a_service_is_purged_when_the_account_allows_it(void **state)
{
    unsigned one, two;
    struct rig *r;
    struct job j;

    r = rig_open(state, "    allow_purge_all: true\n", "");
    rig_start_leading(r, 0);
    one = cached(r, NULL, "/one?keys=a");
    two = cached(r, NULL, "/two?keys=b");
    j = rig_push(r, "urgent", "all", "1", "service", NEWS, NULL);
    rig_await_ended(r, &j, "purged");
    assert_fresh(r, NULL, "/one?keys=a", one);
    assert_fresh(r, NULL, "/two?keys=b", two);
    rig_await(r, requests_with_status(&r->requests, 200) == 1);
    assert_string_equal(r->requests.at[0].kind, "all");
    rig_close(r);
}

static void all_of_a_service_is_refused_unless_the_account_allows_it(void **state)
{
    struct rig *r;
    struct job j;
    char *reason;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    j = rig_push(r, "urgent", "all", "1", NULL);
    rig_await_ended(r, &j, "dead");
    reason = rig_dead(r, 0, "dead_reason");
    assert_non_null(strstr(reason, "all"));
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 0);
    free(reason);
    rig_close(r);
}

static void a_service_may_be_named_by_id_by_name_or_not_at_all(void **state)
{
    struct job jobs[4];
    struct rig *r;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    jobs[0] = rig_push(r, "normal", "keys", "by-default", NULL);
    jobs[1] = rig_push(r, "normal", "keys", "by-id", "service", SHOP, NULL);
    jobs[2] = rig_push(r, "normal", "keys", "by-name", "service", "shop", NULL);
    jobs[3] = rig_push(r, "normal", "keys", "by-error", "service", "shoop", NULL);
    for (int i = 0; i < 3; i++)
        rig_await_ended(r, &jobs[i], "purged");
    rig_await_ended(r, &jobs[3], "dead");
    rig_await(r, requests_find(&r->requests, "by-default", 0) &&
                     requests_find(&r->requests, "by-id", 0) &&
                     requests_find(&r->requests, "by-name", 0));
    assert_string_equal(requests_find(&r->requests, "by-default", 0)->service, NEWS);
    assert_string_equal(requests_find(&r->requests, "by-id", 0)->service, SHOP);
    assert_string_equal(requests_find(&r->requests, "by-name", 0)->service, SHOP);
    rig_close(r);
}

static void the_ref_of_a_job_stands_in_its_receipt(void **state)
{
    static const char ref[] = "order \"7\" \\ \xc3\xa9";
    struct rig *r;
    struct job j;
    char *said;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", "ref", ref, NULL);
    rig_await_ended(r, &j, "purged");
    said = rig_receipt(r, &j, "ref");
    assert_string_equal(said, ref);
    free(said);
    rig_close(r);
}

/* S4: a client library looked up the service before each purge, and so used up the API's limit:
 * https://github.com/fastly/fastly-ruby/issues/50 */
static void a_batch_is_exactly_one_request_s4(void **state)
{
    struct rig *r;

    r = rig_open(state, "    lanes: {normal: {linger_ms: 300}}\n", "");
    rig_push_keys(r, "normal", "key-", 0, 256);
    rig_start_leading(r, 0);
    rig_await_empty(r);
    rig_stop(r, 0); /* no request can follow */
    rig_await(r, requests_with_status(&r->requests, 200) == 1);
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 1);
    assert_int_equal(r->requests.at[0].n, 256);
    rig_close(r);
}

/* S10: in another project, keys with / or * in the path of the URL purged nothing:
 * https://github.com/rust-lang/promote-release/pull/73 */
static void odd_keys_travel_byte_for_byte_in_a_batch_even_alone_s10(void **state)
{
    static const char *const keys[] = {
        "a/b",         "a+b",    "50%25",           "50%", "*", "/", "a,b", "\"q\"\\",
        "{\"x\":[1]}", "?a=b#c", "~!@$^&()_=|;:'<>"};
    struct rig *r;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    for (size_t i = 0; i < array_len(keys); i++) {
        struct job j;
        char path[128], *escaped = alloc_str("");
        unsigned version;

        for (const char *p = keys[i]; *p; p++) {
            char *longer = alloc_printf("%s%%%02x", escaped, (unsigned char)*p);

            free(escaped);
            escaped = longer;
        }
        snprintf(path, sizeof(path), "/odd?keys=%s", escaped);
        free(escaped);
        version = cached(r, NULL, path);
        j = rig_push(r, "urgent", "keys", keys[i], NULL);
        rig_await_ended(r, &j, "purged");
        assert_fresh(r, NULL, path, version);
        rig_await(r, requests_find(&r->requests, keys[i], 0));
        assert_string_equal(requests_find(&r->requests, keys[i], 0)->kind, "keys");
    }
    rig_close(r);
}

/* S18: another client identified batches of tags by a signature without the tags, so only the first
 * was sent: https://github.com/FriendsOfSymfony/FOSHttpCache (Fastly proxy client,
 * getRequestSignature) */
static void three_hundred_tags_in_two_jobs_all_arrive_s18(void **state)
{
    struct rig *r;
    struct job jobs[2];
    char name[16];

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    for (int half = 0; half < 2; half++) {
        char keys[4096] = "";

        for (int i = 0; i < 150; i++)
            sprintf(keys + strlen(keys), "tag-%d ", half * 150 + i);
        keys[strlen(keys) - 1] = '\0';
        jobs[half] = rig_push(r, "normal", "keys", keys, NULL);
    }
    for (int half = 0; half < 2; half++)
        rig_await_ended(r, &jobs[half], "purged");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "tag-%d", i);
        rig_await(r, requests_naming(&r->requests, name, 200) == 1);
    }
    rig_close(r);
}

/* S30: in another project, one save of a product sent the same purge five times:
 * https://github.com/fastly/fastly-magento2/issues/73 */
static void five_equal_purges_in_a_burst_are_sent_once_s30(void **state)
{
    struct job jobs[5];
    struct rig *r;

    r = rig_open(state, "    lanes: {normal: {linger_ms: 200}}\n", "");
    rig_start_leading(r, 0);
    for (int i = 0; i < 5; i++)
        jobs[i] = rig_push(r, "normal", "keys", "product-5", NULL);
    for (int i = 0; i < 5; i++)
        rig_await_ended(r, &jobs[i], "purged");
    rig_await(r, requests_naming(&r->requests, "product-5", ANY_STATUS) >= 1);
    assert_int_equal(requests_naming(&r->requests, "product-5", ANY_STATUS), 1);
    rig_close(r);
}

/* S29: in another project, a queue of 36,867 rows had only 7,476 different URLs:
 * https://github.com/lochmueller/staticfilecache/issues/263 */
static void a_hundred_thousand_jobs_over_a_hundred_keys_are_few_requests_s29(void **state)
{
    struct rig *r;
    char name[16];

    r = rig_open(state, "    receipts: failed\n", "");
    for (int i = 0; i < 1000; i++)
        rig_push_keys(r, "normal", "key-", 0, 100);
    rig_start_leading(r, 0);
    await_until(r->requests.inotify, 60000, rig_is_empty(r));
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "key-%d", i);
        assert_true(requests_naming(&r->requests, name, 200) >= 1);
    }
    assert_in_range(requests_with_status(&r->requests, ANY_STATUS), 1, 200);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_job_pushed_by_hand_makes_its_pages_fresh),
        rig_test(a_job_pushed_before_the_first_start_counts),
        rig_test(a_url_is_purged_byte_for_byte),
        rig_test(two_urls_of_one_job_are_two_requests_and_one_receipt),
        rig_test(a_soft_purge_leaves_the_page_stale_until_it_is_fetched_anew),
        rig_test(all_of_a_service_is_purged_when_the_account_allows_it),
        rig_test(all_of_a_service_is_refused_unless_the_account_allows_it),
        rig_test(a_service_may_be_named_by_id_by_name_or_not_at_all),
        rig_test(the_ref_of_a_job_stands_in_its_receipt),
        rig_test(a_batch_is_exactly_one_request_s4),
        rig_test(odd_keys_travel_byte_for_byte_in_a_batch_even_alone_s10),
        rig_test(three_hundred_tags_in_two_jobs_all_arrive_s18),
        rig_test(five_equal_purges_in_a_burst_are_sent_once_s30),
        rig_test(a_hundred_thousand_jobs_over_a_hundred_keys_are_few_requests_s29),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
