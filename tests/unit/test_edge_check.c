/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "buf.h"
#include "edge_check.h"

#define ENTRY(pop, hash, headers)                                                                  \
    "{\"hash\":\"" hash "\",\"pop\":\"" pop "\",\"server\":\"cache-" pop "\",\"response_time\":1," \
    "\"request\":{},\"response\":{\"status\":200,\"headers\":{" headers "}}}"

static struct edge_check e;
static struct error err;

static void reads(const char *body)
{
    edge_check_deinit(&e);
    assert_int_equal(edge_check_read(&e, span_str(body), &err), 0);
}

static void assert_order(const char *wanted)
{
    char found[256] = "";

    for (size_t i = 0; i < e.count; i++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i ? " " : "",
                 e.pops[i].name);
    assert_string_equal(found, wanted);
}

static void the_url_is_escaped_as_one_value(void **state)
{
    char *path = edge_check_path("https://h:1/a b?c=d&e=%20#\xc3\xa9~-._");

    (void)state;
    assert_string_equal(path, "/content/edge_check?url=https%3A%2F%2Fh%3A1%2Fa%20b%3Fc%3Dd%26e%3D"
                              "%2520%23%C3%A9~-._");
    free(path);
}

static void an_entry_says_what_its_pop_replied(void **state)
{
    (void)state;
    reads("[" ENTRY("amsterdam-nl", "d41d8cd9",
                    "\"X-Served-By\":\"cache-bwi5133-BWI, cache-ams21039-AMS\",\"Age\":\"42\","
                    "\"X-Cache\":[\"MISS\",\"HIT\"],\"Surrogate-Key\":\"a b\"") "]");
    assert_int_equal(e.count, 1);
    assert_string_equal(e.pops[0].name, "amsterdam-nl");
    assert_string_equal(e.pops[0].server, "cache-amsterdam-nl");
    assert_string_equal(e.pops[0].hash, "d41d8cd9");
    assert_int_equal(e.pops[0].answer, EDGE_CHECK_CONTENT);
    assert_int_equal(e.pops[0].seen.status, 200);
    assert_true(e.pops[0].seen.age_known);
    assert_int_equal(e.pops[0].seen.age_s, 42);
    assert_int_equal(e.pops[0].seen.keys_count, 2);
    assert_int_equal(sighting_pop(&e.pops[0].seen)->cache, SIGHTING_HIT);
    assert_int_equal(sighting_shield(&e.pops[0].seen)->cache, SIGHTING_MISS);
}

static void a_number_may_be_a_number_or_a_text(void **state)
{
    (void)state;
    reads(
        "[{\"pop\":\"a\",\"hash\":\"x\",\"response\":{\"status\":\"404\",\"headers\":{\"Age\":7}}},"
        "{\"pop\":\"b\",\"hash\":\"x\",\"response\":{\"status\":99,\"headers\":{}}}]");
    assert_int_equal(e.pops[0].seen.status, 404);
    assert_int_equal(e.pops[0].seen.age_s, 7);
    assert_int_equal(e.pops[1].seen.status, 0);
}

static void hashes_that_name_a_fault_are_no_content(void **state)
{
    (void)state;
    reads("[" ENTRY("tyo", "error-timeout-tyo", "") "," ENTRY(
        "lon", "warning-too-large-lon", "") ","
                                            "{\"pop\":\"none\"}," ENTRY("ams", "error", "") "]");
    assert_order("ams lon none tyo");
    assert_int_equal(e.pops[0].answer, EDGE_CHECK_CONTENT);
    assert_int_equal(e.pops[1].answer, EDGE_CHECK_TOO_LARGE);
    assert_int_equal(e.pops[2].answer, EDGE_CHECK_TIMEOUT);
    assert_int_equal(e.pops[3].answer, EDGE_CHECK_TIMEOUT);
    assert_string_equal(e.pops[1].hash, "");
    assert_string_equal(e.pops[3].hash, "");
    assert_int_equal(e.contents, 1);
}

static void what_the_most_pops_have_comes_first(void **state)
{
    (void)state;
    reads("[" ENTRY("a", "old", "") "," ENTRY("d", "new", "") "," ENTRY("c", "new", "") "," ENTRY(
        "b", "error-timeout-b", "") "]");
    assert_order("c d a b");
    assert_int_equal(e.pops[0].peers, 2);
    assert_int_equal(e.pops[2].peers, 1);
    assert_int_equal(e.pops[3].peers, 0);
    assert_int_equal(e.contents, 2);
}

static void a_value_with_a_line_break_begins_no_header(void **state)
{
    (void)state;
    reads("[" ENTRY("a", "x",
                    "\"B\":\"1\\r\\nAge: 5\",\"C\\nAge: 6\\nD\":\"1\",\"Age: 7\":\"1\"") "]");
    assert_false(e.pops[0].seen.age_known);
}

static void entries_without_a_name_or_beyond_the_limit_are_counted(void **state)
{
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_printf(&body, "[null,{\"hash\":\"x\"},{\"pop\":\"\"}");
    for (int i = 0; i < EDGE_CHECK_POPS_MAX + 1; i++)
        buf_printf(&body, ",{\"pop\":\"p%d\",\"hash\":\"x\"}", i);
    buf_printf(&body, "]");
    reads(body.p);
    buf_deinit(&body);
    assert_int_equal(e.count, EDGE_CHECK_POPS_MAX);
    assert_int_equal(e.left_out, 4);
    assert_int_equal(e.pops[0].peers, EDGE_CHECK_POPS_MAX);
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const bodies[] = {"", "{}", "[", "{\"msg\":\"no\"}", "null", "[]x"};

    (void)state;
    for (size_t i = 0; i < array_len(bodies); i++) {
        assert_int_equal(edge_check_read(&e, span_str(bodies[i]), &err), -EINVAL);
        assert_string_equal(err.text, "the answer is not a list of POPs");
    }
    reads("[]");
    assert_int_equal(e.count, 0);
}

static int tear_down(void **state)
{
    (void)state;
    edge_check_deinit(&e);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_url_is_escaped_as_one_value),
        cmocka_unit_test(an_entry_says_what_its_pop_replied),
        cmocka_unit_test(a_number_may_be_a_number_or_a_text),
        cmocka_unit_test(hashes_that_name_a_fault_are_no_content),
        cmocka_unit_test(what_the_most_pops_have_comes_first),
        cmocka_unit_test(a_value_with_a_line_break_begins_no_header),
        cmocka_unit_test(entries_without_a_name_or_beyond_the_limit_are_counted),
        cmocka_unit_test(what_is_no_list_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
