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

#include "span.h"

static void spans_with_the_same_bytes_are_equal(void **state)
{
    assert_true(span_eq(SPAN("abc"), SPAN("abc")));
    assert_false(span_eq(SPAN("abc"), SPAN("abd")));
    assert_false(span_eq(SPAN("abc"), SPAN("ab")));
    assert_true(span_eq(SPAN(""), span_of(NULL, 0)));
    assert_true(span_is(SPAN("abc"), "abc"));
    assert_true(span_is(SPAN(""), NULL));
    assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
    (void)state;
}

static void only_ascii_letters_lose_their_case(void **state)
{
    assert_true(span_eq_nocase(SPAN("WwW.Example"), SPAN("wWw.eXAMPLE")));
    assert_false(span_eq_nocase(SPAN("@"), SPAN("`")));
    assert_false(span_eq_nocase(SPAN("["), SPAN("{")));
    assert_false(span_eq_nocase(SPAN("\xc4"), SPAN("\xe4")));
    assert_false(span_eq_nocase(SPAN("a"), SPAN("ab")));
    (void)state;
}

static void a_prefix_may_be_the_whole_but_not_more(void **state)
{
    assert_true(span_starts_nocase(SPAN("HTTP://x"), "http://"));
    assert_true(span_starts_nocase(SPAN("http://"), "http://"));
    assert_false(span_starts_nocase(SPAN("http:/"), "http://"));
    assert_true(span_starts_nocase(SPAN(""), ""));
    (void)state;
}

static void words_are_cut_at_runs_of_the_separator(void **state)
{
    struct span rest = SPAN("  a bc   d "), word;

    assert_true(span_next_word(&rest, ' ', &word));
    assert_true(span_is(word, "a"));
    assert_true(span_next_word(&rest, ' ', &word));
    assert_true(span_is(word, "bc"));
    assert_true(span_next_word(&rest, ' ', &word));
    assert_true(span_is(word, "d"));
    assert_false(span_next_word(&rest, ' ', &word));
    assert_false(span_next_word(&rest, ' ', &word));
    (void)state;
}

static void separators_alone_hold_no_word(void **state)
{
    struct span rest = SPAN("    "), empty = SPAN(""), word = SPAN("untouched");

    assert_false(span_next_word(&rest, ' ', &word));
    assert_false(span_next_word(&empty, ' ', &word));
    assert_true(span_is(word, "untouched"));
    (void)state;
}

static void a_number_is_digits_and_nothing_else(void **state)
{
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3"};
    uint64_t v = 7;

    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(span_to_u64(span_str(bad[i]), &v), -EINVAL);
    assert_int_equal(v, 7);
    assert_int_equal(span_to_u64(SPAN("0"), &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(span_to_u64(SPAN("00042"), &v), 0);
    assert_int_equal(v, 42);
    assert_int_equal(span_to_plain_u64(SPAN("00"), &v), -EINVAL);
    assert_int_equal(span_to_plain_u64(SPAN("042"), &v), -EINVAL);
    assert_int_equal(span_to_plain_u64(SPAN("0"), &v), 0);
    assert_int_equal(span_to_plain_u64(SPAN("40"), &v), 0);
    assert_int_equal(v, 40);
    (void)state;
}

static void the_largest_number_fits_and_the_next_one_does_not(void **state)
{
    uint64_t v = 7;

    assert_int_equal(span_to_u64(SPAN("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(span_to_u64(SPAN("18446744073709551616"), &v), -ERANGE);
    assert_int_equal(span_to_u64(SPAN("18446744073709551620"), &v), -ERANGE);
    assert_int_equal(span_to_u64(SPAN("99999999999999999999999"), &v), -ERANGE);
    assert_true(v == UINT64_MAX);
    (void)state;
}

static void trimming_takes_blanks_and_tabs_off_both_ends(void **state)
{
    assert_true(span_is(span_trim(SPAN(" \ta b\t ")), "a b"));
    assert_true(span_is(span_trim(SPAN("a")), "a"));
    assert_true(span_is(span_trim(SPAN("\na ")), "\na"));
    assert_int_equal(span_trim(SPAN(" \t ")).n, 0);
    assert_int_equal(span_trim(SPAN("")).n, 0);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_with_the_same_bytes_are_equal),
        cmocka_unit_test(only_ascii_letters_lose_their_case),
        cmocka_unit_test(a_prefix_may_be_the_whole_but_not_more),
        cmocka_unit_test(words_are_cut_at_runs_of_the_separator),
        cmocka_unit_test(separators_alone_hold_no_word),
        cmocka_unit_test(a_number_is_digits_and_nothing_else),
        cmocka_unit_test(the_largest_number_fits_and_the_next_one_does_not),
        cmocka_unit_test(trimming_takes_blanks_and_tabs_off_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
