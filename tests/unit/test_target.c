/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "target.h"

static const char *why;

static char *filled(size_t n, char c)
{
    static char bytes[URL_MAX_BYTES + 16];

    assert_true(n <= sizeof(bytes));
    memset(bytes, c, n);
    return bytes;
}

static void good_url(struct span url)
{
    why = "";
    if (url_check(url, &why) < 0)
        fail_msg("%.*s was refused: %s", (int)url.n, url.p, why);
}

static void bad_url(struct span url, const char *about)
{
    why = "";
    if (url_check(url, &why) != -EINVAL || !strstr(why, about))
        fail_msg("%.*s: \"%s\" says nothing of \"%s\"", (int)url.n, url.p, why, about);
}

static void same_url(const char *a, const char *b)
{
    if (!target_same(TARGET_URL, span_str(a), span_str(b)))
        fail_msg("%s and %s should be the same", a, b);
    assert_int_equal(target_hash(TARGET_URL, 1, span_str(a)),
                     target_hash(TARGET_URL, 2, span_str(b)));
}

static void other_url(const char *a, const char *b)
{
    if (target_same(TARGET_URL, span_str(a), span_str(b)))
        fail_msg("%s and %s should differ", a, b);
    assert_int_not_equal(target_hash(TARGET_URL, 0, span_str(a)),
                         target_hash(TARGET_URL, 0, span_str(b)));
}

static void a_key_of_1025_bytes_is_refused(void **state)
{
    assert_int_equal(key_check(span_of(filled(1023, 'k'), 1023), &why), 0);
    assert_int_equal(key_check(span_of(filled(1024, 'k'), 1024), &why), 0);
    assert_int_equal(key_check(span_of(filled(1025, 'k'), 1025), &why), -EINVAL);
    assert_string_equal(why, "the key is longer than 1024 bytes");
    (void)state;
}

static void an_empty_key_is_refused_and_one_byte_is_a_key(void **state)
{
    assert_int_equal(key_check(SPAN(""), &why), -EINVAL);
    assert_string_equal(why, "the key is empty");
    assert_int_equal(key_check(SPAN("!"), &why), 0);
    (void)state;
}

static void a_key_has_only_bytes_from_0x21_to_0x7e_in_every_place(void **state)
{
    for (size_t length = 1; length <= 20; length++)
        for (size_t at = 0; at < length; at++)
            for (int c = 0; c < 256; c++) {
                char *key = filled(length, 'k');

                key[at] = (char)c;
                assert_int_equal(key_check(span_of(key, length), &why),
                                 c >= 0x21 && c <= 0x7e ? 0 : -EINVAL);
            }
    (void)state;
}

static void a_url_has_no_control_byte_space_or_hash_in_any_place(void **state)
{
    for (size_t length = 4; length <= 20; length++)
        for (size_t at = 2; at < length; at++)
            for (int c = 0; c < 256; c++) {
                char *url = filled(length, 'u');

                url[1] = '/';
                url[at] = (char)c;
                assert_int_equal(url_check(span_of(url, length), &why),
                                 c <= 0x20 || c == 0x7f || c == '#' ? -EINVAL : 0);
            }
    (void)state;
}

static void a_url_of_8193_bytes_is_refused(void **state)
{
    char *url = filled(URL_MAX_BYTES + 1, 'u');

    url[1] = '/';
    good_url(span_of(url, URL_MAX_BYTES - 1));
    good_url(span_of(url, URL_MAX_BYTES));
    bad_url(span_of(url, URL_MAX_BYTES + 1), "longer than 8192 bytes");
    (void)state;
}

static void a_host_of_254_bytes_is_refused(void **state)
{
    char *url = filled(HOST_MAX_BYTES + 2, 'h');

    good_url(span_of(url, HOST_MAX_BYTES - 1));
    good_url(span_of(url, HOST_MAX_BYTES));
    bad_url(span_of(url, HOST_MAX_BYTES + 1), "longer than 253 bytes");
    url[HOST_MAX_BYTES] = '/';
    good_url(span_of(url, HOST_MAX_BYTES + 1));
    url[HOST_MAX_BYTES] = ':';
    url[HOST_MAX_BYTES + 1] = '1';
    good_url(span_of(url, HOST_MAX_BYTES + 2));
    (void)state;
}

static void every_usual_shape_of_url_is_taken(void **state)
{
    static const char *const urls[] = {
        "www.example.com",
        "www.example.com/path",
        "http://www.example.com/",
        "https://www.example.com",
        "HTTPS://WWW.EXAMPLE.COM/A?B=C",
        "www.example.com?i=i",
        "https://h/a//b?x=1&x=2&url=http://other/",
        "h/http://inner/path",
        "http.example.com/x",
        "localhost:8080/x",
        "127.0.0.1:1",
        "127.0.0.1:65535/",
        "[::1]/x",
        "https://[2001:DB8::1]:443/x",
        "my_host-1.example.com./x",
        "h/%C3%A4/\xc3\xa4",
        "h/a@b",
        "h/.well-known/x",
        "h/...",
        "h/a..b/..c/d../x",
        "h/x?a=/../b",
        "h/100%",
        "h/%2",
    };

    for (size_t i = 0; i < array_len(urls); i++)
        good_url(span_str(urls[i]));
    (void)state;
}

static void what_has_no_host_is_no_url(void **state)
{
    bad_url(SPAN(""), "empty");
    bad_url(SPAN("/path"), "slash");
    bad_url(SPAN("//host/path"), "slash");
    bad_url(SPAN("http://"), "no host");
    bad_url(SPAN("https:///path"), "no host");
    bad_url(SPAN("?query"), "no host");
    bad_url(SPAN(":80/"), "no host");
    bad_url(SPAN("http://?q"), "no host");
    (void)state;
}

static void only_http_and_https_may_stand_before_the_host_and_once(void **state)
{
    bad_url(SPAN("ftp://host/"), "the only schemes are http:// and https://");
    bad_url(SPAN("file:///etc/passwd"), "the only schemes are http:// and https://");
    bad_url(SPAN("https://https://host/"), "the only schemes are http:// and https://");
    bad_url(SPAN("https:/host/"), "port");
    (void)state;
}

static void user_info_is_refused(void **state)
{
    bad_url(SPAN("https://user:pass@host/"), "user info");
    bad_url(SPAN("host@other/"), "user info");
    bad_url(SPAN("good.example@[::1]/"), "user info");
    (void)state;
}

static void a_fragment_is_refused_with_a_sentence_of_its_own(void **state)
{
    bad_url(SPAN("https://h/x#top"), "fragment");
    bad_url(SPAN("https://h/x y"), "space");
    bad_url(SPAN("https://h/x\r\nFastly-Soft-Purge: 1"), "control");
    (void)state;
}

static void a_host_has_only_the_bytes_of_a_name(void **state)
{
    for (int c = 1; c < 256; c++) {
        char url[] = "a?b/x";
        bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '-' || c == '_';

        url[1] = (char)c;
        if (c == '/' || c == '?')
            continue;
        assert_int_equal(url_check(span_str(url), &why), name ? 0 : -EINVAL);
    }
    bad_url(SPAN(".example.com/"), "empty label");
    bad_url(SPAN("a..b/"), "empty label");
    (void)state;
}

static void a_port_is_a_number_from_1_to_65535(void **state)
{
    static const char *const bad[] = {"h:",   "h:0",   "h:65536", "h:99999",  "h:100000", "h:+1",
                                      "h:1x", "h:-1/", "h:1:2/",  "[::1]:0/", "[::1]80/"};

    for (size_t i = 0; i < array_len(bad); i++)
        bad_url(span_str(bad[i]), "port");
    (void)state;
}

static void between_brackets_stands_an_ipv6_address(void **state)
{
    bad_url(SPAN("[]/"), "IPv6");
    bad_url(SPAN("[127.0.0.1]/"), "IPv6");
    bad_url(SPAN("[example]/"), "IPv6");
    bad_url(SPAN("[::1%25eth0]/"), "IPv6");
    bad_url(SPAN("[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6:7:8:9]/"), "IPv6");
    bad_url(SPAN("[::1/"), "not closed");
    bad_url(SPAN("["), "not closed");
    (void)state;
}

/* Appended to https://api.fastly.com/purge/, such a path could become /service/x/purge_all. */
static void no_url_climbs_out_of_the_path_it_is_put_under(void **state)
{
    static const char *const bad[] = {"h/..",      "h/../",      "h/../../service/x/purge_all",
                                      "h/a/..?q",  "h/%2e%2e/x", "h/.%2E/x",
                                      "h/%2E./x",  "h/..%2fx",   "h/a%2F..%2Fx",
                                      "h/a/%2e%2e"};

    for (size_t i = 0; i < array_len(bad); i++)
        bad_url(span_str(bad[i]), "..");
    bad_url(SPAN(".."), "empty label");
    bad_url(SPAN("../service/x/purge_all"), "empty label");
    (void)state;
}

static void what_some_servers_take_for_two_dots_climbs_as_well(void **state)
{
    static const char *const bad[] = {
        "h/..;/x",     "h/..;a=b/x",     "h/a/..;",       "h/%2e%2e;x/y",     "h/..%3b/x",
        "h/..%3B/x",   "h/a\\..\\x",     "h/..\\",        "h/a%5c..%5cx",     "h/a%5C..%5Cx",
        "h/\\..",      "h/%252e%252e/x", "h/..%252fx",    "h/%25252E%2e/x",   "h/..%255cx",
        "h/..;/..;/p", "h/..;%2fx",      "h/a/..\\..\\x", "h/.%252e;v=1?q=1",
    };
    static const char *const good[] = {
        "h/a;b/..c",    "h/a\\b",   "h/a%5cb",    "h/x;..",    "h/;../x",  "h/.;x/y",
        "h/%25",        "h/%252",   "h/100%25/x", "h/..%25/x", "h/..%2/x", "h/..%",
        "h/x?a=\\..\\", "h/x?..;/", "h/...;/x",   "h/%2525",   "h/%5",     "h/a..;/x",
    };

    for (size_t i = 0; i < array_len(bad); i++)
        bad_url(span_str(bad[i]), "..");
    for (size_t i = 0; i < array_len(good); i++)
        if (url_check(span_str(good[i]), &why) < 0)
            fail_msg("%s: %s", good[i], why);
    (void)state;
}

static void a_url_splits_into_host_and_rest(void **state)
{
    static const struct {
        const char *url, *host, *rest;
    } cases[] = {{"http://Host:80/a?b", "Host:80", "/a?b"},
                 {"HTTPS://h", "h", ""},
                 {"h?x=/y", "h", "?x=/y"},
                 {"[::1]:8080/", "[::1]:8080", "/"},
                 {"h/http://x/", "h", "/http://x/"}};

    for (size_t i = 0; i < array_len(cases); i++) {
        struct span host, rest;

        url_split(span_str(cases[i].url), &host, &rest);
        assert_true(span_is(host, cases[i].host));
        assert_true(span_is(rest, cases[i].rest));
    }
    (void)state;
}

static void scheme_and_case_of_the_host_do_not_make_another_target(void **state)
{
    same_url("http://www.example.com/x", "https://www.example.com/x");
    same_url("www.example.com/x", "HTTP://WWW.Example.COM/x");
    same_url("a-host-name-of-more-than-sixteen-bytes.example/x",
             "A-HOST-NAME-of-more-than-SIXTEEN-bytes.EXAMPLE/x");
    same_url("ABYZ.example/", "abyz.example/");
    same_url("[2001:DB8::A]/", "[2001:db8::a]/");
    (void)state;
}

static void an_empty_path_is_the_root(void **state)
{
    same_url("http://h", "h/");
    same_url("h?q", "h/?q");
    other_url("h", "h/?");
    other_url("h/", "h//");
    other_url("h?q", "h/q");
    (void)state;
}

/* The query is part of the cache key: https://github.com/fastly/fastly-magento2/issues/759 */
static void path_and_query_count_byte_by_byte(void **state)
{
    other_url("h/x", "h/X");
    other_url("h/x?a=1&b=2", "h/x?b=2&a=1");
    other_url("h/x", "h/x?");
    other_url("h/%41", "h/A");
    other_url("h/a//b", "h/a/b");
    other_url("h:80/", "h/");
    other_url("h/ab", "ha/b");
    other_url("h-_/", "h-\x7f/");
    (void)state;
}

static void keys_count_byte_by_byte_and_with_their_service(void **state)
{
    assert_true(target_same(TARGET_KEY, SPAN("article-17"), SPAN("article-17")));
    assert_false(target_same(TARGET_KEY, SPAN("article-17"), SPAN("Article-17")));
    assert_int_not_equal(target_hash(TARGET_KEY, 1, SPAN("k")),
                         target_hash(TARGET_KEY, 2, SPAN("k")));
    assert_int_not_equal(target_hash(TARGET_KEY, 1, SPAN("k")),
                         target_hash(TARGET_ALL, 1, SPAN("")));
    assert_int_not_equal(target_hash(TARGET_ALL, 1, SPAN("")),
                         target_hash(TARGET_ALL, 2, SPAN("")));
    assert_true(target_same(TARGET_ALL, SPAN(""), SPAN("")));
    (void)state;
}

static void a_hundred_thousand_keys_spread_evenly(void **state)
{
    enum { KEYS = 100000, BUCKETS = 1024 };
    static unsigned bucket[BUCKETS];
    char key[32];

    for (int i = 0; i < KEYS; i++) {
        int n = snprintf(key, sizeof(key), "article-%d", i);

        bucket[target_hash(TARGET_KEY, 0, span_of(key, (size_t)n)) % BUCKETS]++;
    }
    for (int i = 0; i < BUCKETS; i++) /* 98 are expected; 60 is six standard deviations */
        assert_in_range(bucket[i], 38, 158);
    (void)state;
}

static void another_seed_gives_another_hash(void **state)
{
    uint32_t before = target_hash(TARGET_KEY, 0, SPAN("article-17"));

    target_hash_seed(42);
    assert_int_not_equal(target_hash(TARGET_KEY, 0, SPAN("article-17")), before);
    target_hash_seed(UINT64_C(0x70757267656c696e));
    assert_int_equal(target_hash(TARGET_KEY, 0, SPAN("article-17")), before);
    (void)state;
}

static void a_service_id_is_letters_and_digits(void **state)
{
    assert_true(service_id_ok(SPAN("SU1Z0isxPaozGVKXdv0eY")));
    assert_true(service_id_ok(span_of(filled(64, 's'), 64)));
    assert_false(service_id_ok(span_of(filled(65, 's'), 65)));
    assert_false(service_id_ok(SPAN("")));
    assert_false(service_id_ok(SPAN("a/b")));
    assert_false(service_id_ok(SPAN("..")));
    assert_false(service_id_ok(SPAN("a b")));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_of_1025_bytes_is_refused),
        cmocka_unit_test(an_empty_key_is_refused_and_one_byte_is_a_key),
        cmocka_unit_test(a_key_has_only_bytes_from_0x21_to_0x7e_in_every_place),
        cmocka_unit_test(a_url_has_no_control_byte_space_or_hash_in_any_place),
        cmocka_unit_test(a_url_of_8193_bytes_is_refused),
        cmocka_unit_test(a_host_of_254_bytes_is_refused),
        cmocka_unit_test(every_usual_shape_of_url_is_taken),
        cmocka_unit_test(what_has_no_host_is_no_url),
        cmocka_unit_test(only_http_and_https_may_stand_before_the_host_and_once),
        cmocka_unit_test(user_info_is_refused),
        cmocka_unit_test(a_fragment_is_refused_with_a_sentence_of_its_own),
        cmocka_unit_test(a_host_has_only_the_bytes_of_a_name),
        cmocka_unit_test(a_port_is_a_number_from_1_to_65535),
        cmocka_unit_test(between_brackets_stands_an_ipv6_address),
        cmocka_unit_test(no_url_climbs_out_of_the_path_it_is_put_under),
        cmocka_unit_test(what_some_servers_take_for_two_dots_climbs_as_well),
        cmocka_unit_test(a_url_splits_into_host_and_rest),
        cmocka_unit_test(scheme_and_case_of_the_host_do_not_make_another_target),
        cmocka_unit_test(an_empty_path_is_the_root),
        cmocka_unit_test(path_and_query_count_byte_by_byte),
        cmocka_unit_test(keys_count_byte_by_byte_and_with_their_service),
        cmocka_unit_test(a_hundred_thousand_keys_spread_evenly),
        cmocka_unit_test(another_seed_gives_another_hash),
        cmocka_unit_test(a_service_id_is_letters_and_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
