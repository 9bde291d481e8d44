/* SPDX-License-Identifier: MIT
 * Replies as they were recorded from Fastly, and as nobody should send them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "alloc.h"
#include "buf.h"
#include "fastly.h"
#include "sighting.h"

static struct sighting seen(const char *headers)
{
    static char head[100000]; /* the spans of the result point into it */
    struct sighting s;

    assert_true((size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%s\r\n", headers) <
                sizeof(head));
    sighting_read(&s, span_str(head));
    return s;
}

#define assert_span(span, text) assert_true(span_is(span, text))

/* https://www.fastly.com/documentation/guides/full-site-delivery/caching/checking-cache/ */
static void the_shield_comes_before_the_pop(void **state)
{
    struct sighting s = seen("Age: 142\r\n"
                             "X-Served-By: cache-jfk1041-JFK, cache-ord1720-ORD\r\n"
                             "X-Cache: HIT, MISS\r\n"
                             "X-Cache-Hits: 1, 7\r\n");

    (void)state;
    assert_int_equal(s.hops_count, 2);
    assert_span(sighting_pop(&s)->server, "cache-ord1720-ORD");
    assert_span(sighting_pop(&s)->pop, "ORD");
    assert_int_equal(sighting_pop(&s)->cache, SIGHTING_MISS);
    assert_span(sighting_shield(&s)->pop, "JFK");
    assert_int_equal(sighting_shield(&s)->cache, SIGHTING_HIT);
    assert_true(s.age_known);
    assert_int_equal(s.age_s, 142);
    assert_false(s.debug);
    assert_false(s.keyed);
}

/* https://github.com/fastly/go-fastly/blob/main/fastly/fixtures/content/check.yaml */
static void one_cache_has_no_shield(void **state)
{
    struct sighting s = seen("Server: Varnish\r\n"
                             "Date: Thu, 09 May 2019 18:49:02 GMT\r\n"
                             "Via: 1.1 varnish\r\n"
                             "Fastly-Debug-Path: (D cache-ams21039-AMS 1557427742)\r\n"
                             "Fastly-Debug-TTL: (M cache-ams21039-AMS - - -)\r\n"
                             "X-Served-By: cache-ams21039-AMS\r\n"
                             "X-Cache: HIT\r\n"
                             "X-Timer: S1557427742.490381,VS0,VE0\r\n");

    (void)state;
    assert_int_equal(s.hops_count, 1);
    assert_span(sighting_pop(&s)->pop, "AMS");
    assert_int_equal(sighting_pop(&s)->cache, SIGHTING_HIT);
    assert_false(sighting_pop(&s)->age_known);
    assert_null(sighting_shield(&s));
    assert_true(s.debug);
    assert_false(s.age_known);
}

/* https://community.fastly.com/t/deciphering-fastly-debug-header/520 : here the POP comes first. */
static void the_ages_are_those_of_the_named_servers(void **state)
{
    struct sighting s = seen("Fastly-Debug-TTL: (H cache-lcy1128-LCY 41733294.335 864000.000 2273) "
                             "(M cache-sjc3132-SJC - - 0)\r\n"
                             "X-Served-By: cache-sjc3132-SJC, cache-lcy1128-LCY\r\n");

    (void)state;
    assert_true(sighting_pop(&s)->age_known);
    assert_int_equal(sighting_pop(&s)->age_s, 2273);
    assert_true(sighting_shield(&s)->age_known);
    assert_int_equal(sighting_shield(&s)->age_s, 0);
    s = seen("X-Served-By: cache-jfk1026-JFK\r\n"
             "Fastly-Debug-TTL: H cache-jfk1026-JFK 41733294.335 864000.000 2273\r\n");
    assert_int_equal(sighting_pop(&s)->age_s, 2273);
    s = seen("X-Served-By: cache-a1-A\r\nFastly-Debug-TTL: (H cache-b1-B 1.0 1.0 5) (H x\r\n");
    assert_false(sighting_pop(&s)->age_known);
}

static void lists_of_different_length_belong_together_from_their_ends(void **state)
{
    struct sighting s = seen("X-Served-By: cache-a1-A, cache-b1-B, cache-c1-C\r\n"
                             "X-Cache: MISS\r\n"
                             "X-Cache: HIT\r\n");

    (void)state;
    assert_int_equal(s.hops_count, 3);
    assert_int_equal(s.hops[0].cache, SIGHTING_UNSAID);
    assert_int_equal(s.hops[1].cache, SIGHTING_MISS);
    assert_int_equal(s.hops[2].cache, SIGHTING_HIT);
    s = seen("X-Served-By: cache-a1-A\r\nX-Cache: HIT, MISS\r\n");
    assert_int_equal(s.hops_count, 1);
    assert_int_equal(s.hops[0].cache, SIGHTING_MISS);
    s = seen("X-Cache: HIT, MISS\r\n");
    assert_int_equal(s.hops_count, 2);
    assert_int_equal(sighting_pop(&s)->cache, SIGHTING_MISS);
    assert_span(sighting_pop(&s)->server, "");
    s = seen("X-Cache: HIT-STALE, PASS, \r\n");
    assert_int_equal(s.hops[0].cache, SIGHTING_HIT);
    assert_int_equal(s.hops[1].cache, SIGHTING_UNSAID);
}

static void of_too_many_caches_the_last_are_kept(void **state)
{
    char line[512] = "X-Served-By: cache-a0-A0";
    struct sighting s;

    (void)state;
    for (int i = 1; i <= SIGHTING_HOPS_MAX; i++) {
        size_t used = strlen(line);

        snprintf(line + used, sizeof(line) - used, ", cache-a%d-A%d", i, i);
    }
    strcat(line, "\r\nX-Cache: HIT, MISS, MISS, MISS, MISS, MISS, MISS, MISS, HIT\r\n");
    s = seen(line);
    assert_int_equal(s.hops_count, SIGHTING_HOPS_MAX);
    assert_span(s.hops[0].pop, "A1");
    assert_int_equal(s.hops[0].cache, SIGHTING_MISS);
    assert_span(sighting_pop(&s)->pop, "A8");
    assert_int_equal(sighting_pop(&s)->cache, SIGHTING_HIT);
}

static void a_server_of_another_kind_has_no_pop(void **state)
{
    static const char *const names[] = {"cache",         "cache-", "cache-AMS", "cache-x-",
                                        "mycache-1-AMS", "-",      "a-b"};

    (void)state;
    for (size_t i = 0; i < array_len(names); i++) {
        char line[64];
        struct sighting s;

        snprintf(line, sizeof(line), "X-Served-By: %s\r\n", names[i]);
        s = seen(line);
        assert_int_equal(s.hops_count, 1);
        assert_span(s.hops[0].server, names[i]);
        assert_span(s.hops[0].pop, "");
    }
}

static void keys_are_counted_over_all_lines(void **state)
{
    struct sighting s = seen("surrogate-key:  a  bb c,d \r\nSURROGATE-KEY: e\r\n");

    (void)state;
    assert_true(s.keyed);
    assert_int_equal(s.keys_count, 4);
    assert_int_equal(s.keys_bytes, 9 + 1 + 1);
    assert_span(s.comma_key, "c,d");
    assert_int_equal(s.keys_ignored, 0);
    assert_int_equal(s.long_key.n, 0);
    s = seen("Surrogate-Key:\r\n");
    assert_true(s.keyed);
    assert_int_equal(s.keys_count, 0);
}

static struct sighting keys_of(size_t bytes)
{
    char *line = alloc_bytes(bytes + 64);
    struct sighting s;
    size_t at = (size_t)sprintf(line, "Surrogate-Key: ");

    for (size_t i = 0; i < bytes; i++)
        line[at + i] = i % 8 == 7 && i + 1 < bytes ? ' ' : 'k';
    strcpy(line + at + bytes, "\r\n");
    s = seen(line);
    free(line);
    return s;
}

/* https://www.fastly.com/documentation/reference/vcl/constraints-and-limitations/ */
static void the_key_at_the_limit_and_all_after_it_are_ignored(void **state)
{
    struct sighting s = keys_of(FASTLY_BATCH_MAX_BYTES - 1);

    (void)state;
    assert_int_equal(s.keys_ignored, 0);
    s = keys_of(FASTLY_BATCH_MAX_BYTES);
    assert_int_equal(s.keys_bytes, FASTLY_BATCH_MAX_BYTES);
    assert_int_equal(s.keys_ignored, 0);
    s = keys_of(FASTLY_BATCH_MAX_BYTES + 1);
    assert_int_equal(s.keys_ignored, 1);
    assert_int_equal(s.ignored.n, 1);
    s = keys_of(FASTLY_BATCH_MAX_BYTES + 16);
    assert_int_equal(s.keys_ignored, 2);
    assert_int_equal(s.ignored.n, 7);
}

static void a_key_of_1025_bytes_is_too_long(void **state)
{
    for (size_t n = KEY_MAX_BYTES - 1; n <= KEY_MAX_BYTES + 1; n++) {
        char line[KEY_MAX_BYTES + 64] = "Surrogate-Key: a ";
        size_t at = strlen(line);

        memset(line + at, 'k', n);
        strcpy(line + at + n, " b\r\n");
        assert_int_equal(seen(line).long_key.n, n > KEY_MAX_BYTES ? n : 0);
    }
    (void)state;
}

static void surrogate_control_goes_before_cache_control(void **state)
{
    (void)state;
    assert_int_equal(seen("Cache-Control: max-age=60, Stale-While-Revalidate = 30\r\n").swr_s, 30);
    assert_int_equal(seen("Cache-Control: stale-while-revalidate=30\r\n"
                          "Surrogate-Control: max-age=5, stale-while-revalidate=7\r\n")
                         .swr_s,
                     7);
    assert_int_equal(seen("Surrogate-Control: stale-while-revalidate=7\r\n"
                          "Cache-Control: stale-while-revalidate=30\r\n")
                         .swr_s,
                     7);
    assert_int_equal(seen("Surrogate-Control: max-age=5\r\n"
                          "Cache-Control: stale-while-revalidate=30\r\n")
                         .swr_s,
                     30);
    assert_int_equal(seen("Cache-Control: stale-while-revalidate\r\n").swr_s, 0);
    assert_int_equal(seen("Cache-Control: stale-while-revalidate=99999999999999999999\r\n").swr_s,
                     SIGHTING_TIME_MAX_S);
}

static void what_keeps_a_page_out_of_the_cache_is_named(void **state)
{
    (void)state;
    assert_span(seen("Cache-Control: no-cache, private\r\n").uncacheable, "private");
    assert_span(seen("Cache-Control: max-age=0\r\n").uncacheable, "max-age=0");
    assert_span(seen("Cache-Control: max-age=10\r\n").uncacheable, "");
    assert_span(seen("Surrogate-Control: max-age=0\r\n").uncacheable, "");
    assert_true(seen("Set-Cookie: a=b\r\n").sets_cookie);
    assert_true(seen("ETag: W/\"1\"\r\n").validator);
    assert_true(seen("Last-Modified: Thu, 09 May 2019 18:49:02 GMT\r\n").validator);
    assert_false(seen("X: y\r\n").validator);
}

static void bad_values_count_as_missing(void **state)
{
    static const char *const ages[] = {"", "-1", "1.5", "x", "0x10", "1 2"};

    (void)state;
    for (size_t i = 0; i < array_len(ages); i++) {
        char line[64];

        snprintf(line, sizeof(line), "Age: %s\r\n", ages[i]);
        assert_false(seen(line).age_known);
    }
    assert_int_equal(seen("Age: 99999999999999999999999\r\n").age_s, SIGHTING_TIME_MAX_S);
    assert_int_equal(seen("no colon\r\n: no name\r\n\n\nAge:7\n").age_s, 7);
    assert_int_equal(seen("X-Served-By: ,,\r\nX-Cache:\r\n").hops_count, 0);
}

static void the_status_line_is_no_header(void **state)
{
    struct sighting s;

    (void)state;
    sighting_read(&s, SPAN("Age: 5\r\nAge: 6\r\n"));
    assert_int_equal(s.age_s, 6);
    assert_int_equal(s.status, 0);
    sighting_read(&s, SPAN("HTTP/2 503\r\nAge: 6\r\n"));
    assert_int_equal(s.status, 503);
    sighting_read(&s, SPAN("HTTP/1.1 5030 a\r\n"));
    assert_int_equal(s.status, 0);
    sighting_read(&s, SPAN("Age: 5"));
    assert_false(s.age_known);
    sighting_read(&s, SPAN(""));
    assert_int_equal(s.hops_count, 0);
}

/* -- older than a purge? -- */

static void a_page_that_no_cache_had_is_fresh(void **state)
{
    struct sighting s = seen("X-Served-By: cache-a1-A, cache-b1-B\r\nX-Cache: MISS, MISS\r\n"
                             "Age: 100\r\n");

    (void)state;
    assert_int_equal(sighting_against(&s, 0, 1), SIGHTING_FRESH);
    s = seen("X-Served-By: cache-a1-A, cache-b1-B\r\nX-Cache: HIT, MISS\r\nAge: 100\r\n");
    assert_int_equal(sighting_against(&s, 0, 1), SIGHTING_STALE);
    s = seen("X-Served-By: cache-a1-A, cache-b1-B\r\nX-Cache: MISS, HIT\r\n");
    assert_int_equal(sighting_against(&s, 10, 10), SIGHTING_OPEN);
    s = seen("X: no cache is named\r\n");
    assert_int_equal(sighting_against(&s, 10, 10), SIGHTING_OPEN);
}

/* Age 5 means that the copy is at least 5 s old, and less than 6 s. */
static void age_decides_what_is_older_than_the_purge(void **state)
{
    struct sighting s = seen("X-Served-By: cache-a1-A\r\nX-Cache: HIT\r\nAge: 5\r\n");

    (void)state;
    assert_int_equal(sighting_against(&s, 4900, 4999), SIGHTING_STALE);
    assert_int_equal(sighting_against(&s, 4900, 5000), SIGHTING_OPEN);
    assert_int_equal(sighting_against(&s, 5999, 6100), SIGHTING_OPEN);
    assert_int_equal(sighting_against(&s, 6000, 6100), SIGHTING_FRESH);
    s = seen("X-Cache: HIT\r\nAge: 0\r\n");
    assert_int_equal(sighting_against(&s, 0, 0), SIGHTING_OPEN);
    assert_int_equal(sighting_against(&s, 1000, 1000), SIGHTING_FRESH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shield_comes_before_the_pop),
        cmocka_unit_test(one_cache_has_no_shield),
        cmocka_unit_test(the_ages_are_those_of_the_named_servers),
        cmocka_unit_test(lists_of_different_length_belong_together_from_their_ends),
        cmocka_unit_test(of_too_many_caches_the_last_are_kept),
        cmocka_unit_test(a_server_of_another_kind_has_no_pop),
        cmocka_unit_test(keys_are_counted_over_all_lines),
        cmocka_unit_test(the_key_at_the_limit_and_all_after_it_are_ignored),
        cmocka_unit_test(a_key_of_1025_bytes_is_too_long),
        cmocka_unit_test(surrogate_control_goes_before_cache_control),
        cmocka_unit_test(what_keeps_a_page_out_of_the_cache_is_named),
        cmocka_unit_test(bad_values_count_as_missing),
        cmocka_unit_test(the_status_line_is_no_header),
        cmocka_unit_test(a_page_that_no_cache_had_is_fresh),
        cmocka_unit_test(age_decides_what_is_older_than_the_purge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
