/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>

#include "query.h"

#define KNOWN "account target limit"

/* Compares every parameter of the decoded query with "name=value;name=value;". */
static void assert_decoded(const char *query, const char *expected)
{
    struct buf got, shown;

    buf_init(&shown, 1000);
    assert_int_equal(query_decode(span_str(query), &got), 0);
    for (size_t i = 0, words = 0; i < got.n; i++)
        buf_putc(&shown, got.p[i] ? got.p[i] : words++ % 2 ? ';' : '=');
    assert_string_equal(buf_span(&shown).p, expected);
    buf_deinit(&shown);
    buf_deinit(&got);
}

static void names_and_values_are_decoded_as_forms_encode_them(void **state)
{
    (void)state;
    assert_decoded("account=main", "account=main;");
    assert_decoded("events=status%2Cjob&ref=r+1%20%2B%3d%26", "events=status,job;ref=r 1 +=&;");
    assert_decoded("a%63count=%6Dain", "account=main;");
    assert_decoded("url=https://a/?b=c", "url=https://a/?b=c;");
}

static void what_is_no_escape_is_kept(void **state)
{
    (void)state;
    assert_decoded("a=%&b=%z1&c=%4", "a=%;b=%z1;c=%4;");
}

static void empty_parts_are_decoded(void **state)
{
    (void)state;
    assert_decoded("", "");
    assert_decoded("&&", "");
    assert_decoded("a", "a=;");
    assert_decoded("a=", "a=;");
    assert_decoded("=b", "=b;");
    assert_decoded("a&b&c&d&e&f", "a=;b=;c=;d=;e=;f=;"); /* grows more than any other query */
    assert_decoded("=&=&=", "=;=;=;");
}

static void a_nul_is_refused(void **state)
{
    struct buf got;

    (void)state;
    assert_int_equal(query_decode(SPAN("ref=a%00b"), &got), -EINVAL);
    buf_deinit(&got);
    assert_int_equal(query_decode(SPAN("re%00f=a"), &got), -EINVAL);
    buf_deinit(&got);
}

static void the_first_parameter_of_a_name_is_found(void **state)
{
    struct buf got;
    struct span all;

    (void)state;
    assert_int_equal(query_decode(SPAN("limit=3&account=a%20b&account=c&target"), &got), 0);
    all = buf_span(&got);
    assert_true(span_is(query_find(all, "account"), "a b"));
    assert_true(span_is(query_find(all, "limit"), "3"));
    assert_non_null(query_find(all, "target").p);
    assert_int_equal(query_find(all, "target").n, 0);
    assert_null(query_find(all, "a b").p); /* a value is no name */
    assert_null(query_find(all, "lim").p);
    assert_null(query_find(SPAN(""), "account").p);
    buf_deinit(&got);
}

static void assert_fault(const char *query, const char *expected)
{
    struct buf got;
    char why[160];
    const char *fault;

    assert_int_equal(query_decode(span_str(query), &got), 0);
    fault = query_fault(buf_span(&got), KNOWN, why, sizeof(why));
    if (expected)
        assert_string_equal(fault, expected);
    else
        assert_null(fault);
    buf_deinit(&got);
}

static void an_unknown_or_repeated_parameter_is_a_fault(void **state)
{
    (void)state;
    assert_fault("target=a&account=main&limit=1", NULL);
    assert_fault("", NULL);
    assert_fault("account=main&targets=a", "targets: unknown parameter; did you mean target?");
    assert_fault("account=main&x=a", "x: unknown parameter");
    assert_fault("account=main&account=main", "account: given more than once");
}

/* Somebody may have taken it for the place of a token. */
static void what_does_not_look_like_a_name_is_not_repeated(void **state)
{
    (void)state;
    assert_fault("s3cr3t", "the query has a parameter that is unknown here");
    assert_fault("abcdefghijklmnopqrstuvwxyz", "the query has a parameter that is unknown here");
    assert_fault("=a", "the query has a parameter that is unknown here");
    assert_fault("\xff=a", "the query has a parameter that is unknown here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_values_are_decoded_as_forms_encode_them),
        cmocka_unit_test(what_is_no_escape_is_kept),
        cmocka_unit_test(empty_parts_are_decoded),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(the_first_parameter_of_a_name_is_found),
        cmocka_unit_test(an_unknown_or_repeated_parameter_is_a_fault),
        cmocka_unit_test(what_does_not_look_like_a_name_is_not_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
