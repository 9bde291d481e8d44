/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"
#include "show.h"

static struct buf out;

static int begin(void **state)
{
    (void)state;
    buf_init(&out, SIZE_MAX);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

static const char *cleaned(show_clean_cb *clean, struct span s)
{
    buf_clear(&out);
    clean(&out, s);
    return buf_span(&out).p;
}

static void print(show_clean_cb *clean, const char *fmt, ...) print_like(2, 3);

static void print(show_clean_cb *clean, const char *fmt, ...)
{
    va_list ap;

    buf_clear(&out);
    va_start(ap, fmt);
    show_vprintf(&out, clean, fmt, ap);
    va_end(ap);
}

static void a_log_value_cannot_end_itself(void **state)
{
    assert_string_equal(cleaned(show_for_log, SPAN("a\"b\\c\nd\033e\x7f\xc3\xa9")),
                        "a\\\"b\\\\c\\x0ad\\x1be\\x7f\\xc3\\xa9");
    assert_string_equal(cleaned(show_for_log, SPAN("ends with \\")), "ends with \\\\");
    (void)state;
}

static void what_was_escaped_for_a_sentence_is_not_escaped_again(void **state)
{
    char quoted[64];

    log_quote(quoted, sizeof(quoted), "say \"\n\"", 7);
    assert_string_equal(quoted, "say \"\\x0a\"");
    assert_string_equal(cleaned(show_for_log, span_str(quoted)), "say \\\"\\x0a\\\"");
    assert_string_equal(cleaned(show_for_terminal, span_str(quoted)), "say \"\\x0a\"");
    (void)state;
}

static void a_terminal_obeys_nobody(void **state)
{
    assert_string_equal(cleaned(show_for_terminal, SPAN("\033[2J\r\n\b")),
                        "\\x1b[2J\\x0d\\x0a\\x08");
    assert_string_equal(cleaned(show_for_terminal, SPAN("\xc2\x9b"
                                                        "2J")),
                        "\\xc2\\x9b2J");
    assert_string_equal(cleaned(show_for_terminal, SPAN("\xe2\x80\xae"
                                                        "gpj")),
                        "\\xe2\\x80\\xaegpj");
    assert_string_equal(cleaned(show_for_terminal, SPAN("\x9b\xff")), "\\x9b\\xff");
    assert_string_equal(cleaned(show_for_terminal, SPAN("gr\xc3\xbc\xc3\x9f \"\\\"")),
                        "gr\xc3\xbc\xc3\x9f \"\\\"");
    (void)state;
}

static void what_is_not_utf8_is_read_as_latin1_byte_by_byte(void **state)
{
    assert_string_equal(cleaned(show_as_utf8, SPAN("\xe9t\xc3\xa9")), "\xc3\xa9t\xc3\xa9");
    assert_string_equal(cleaned(show_as_utf8, SPAN("a\0b")), "a\xef\xbf\xbd"
                                                             "b");
    (void)state;
}

static void only_what_rfc_3629_allows_is_a_character(void **state)
{
    static const struct span bad[] = {
        {"\x80", 1},         {"\xc0\xaf", 2},     {"\xc1\xbf", 2},         {"\xc3", 1},
        {"\xe0\x9f\xbf", 3}, {"\xed\xa0\x80", 3}, {"\xf4\x90\x80\x80", 4}, {"\xf5\x80\x80\x80", 4},
        {"\xe2\x82", 2},     {"\xe2\x82(", 3},    {"\xf0\x8f\xbf\xbf", 4}, {"", 0}};
    static const struct span good[] = {{"a", 1},
                                       {"\xc2\x80", 2},
                                       {"\xdf\xbf", 2},
                                       {"\xe0\xa0\x80", 3},
                                       {"\xed\x9f\xbf", 3},
                                       {"\xf0\x90\x80\x80", 4},
                                       {"\xf4\x8f\xbf\xbf", 4},
                                       {"\0", 1}};

    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(show_utf8_length(bad[i]), 0);
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(show_utf8_length(good[i]), good[i].n);
    (void)state;
}

static void it_prints_as_printf_does(void **state)
{
    char want[400];

#define AGREE(...)                                                                                 \
    (snprintf(want, sizeof(want), __VA_ARGS__), print(show_for_terminal, __VA_ARGS__),             \
     assert_string_equal(buf_span(&out).p, want))

    AGREE("%s|%-6s|%6s|%.2s|%.*s|%-*s|", "abc", "abc", "abc", "abc", 1, "abc", 5, "abc");
    AGREE("%d %5d %-5d| %05d %+d %d", 1, 2, 3, 4, 5, -6);
    AGREE("%u %lu %llu %zu %x %08lx", 4000000000u, 5000000000ul, 18446744073709551615ull, (size_t)7,
          255u, 0xdeadbeeful);
    AGREE("%ld %lld %i %o", -5000000000l, -9223372036854775807ll, -1, 8u);
    AGREE("%.1f %8.3f %g", 1.25, 2.5, 1e100);
    AGREE("%c%c %% %3d%%", 'a', 'b', 100);
    AGREE("%*d|%-*d|", 5, 1, 5, 2);
#undef AGREE
    (void)state;
}

static void only_what_the_arguments_bring_in_is_cleaned(void **state)
{
    print(show_for_log, "a=\"%s\" b=\"%.*s\"\n", "x\"\n", 2, "\033\033\033");
    assert_string_equal(buf_span(&out).p, "a=\"x\\\"\\x0a\" b=\"\\x1b\\x1b\"\n");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_value_cannot_end_itself),
        cmocka_unit_test(what_was_escaped_for_a_sentence_is_not_escaped_again),
        cmocka_unit_test(a_terminal_obeys_nobody),
        cmocka_unit_test(what_is_not_utf8_is_read_as_latin1_byte_by_byte),
        cmocka_unit_test(only_what_rfc_3629_allows_is_a_character),
        cmocka_unit_test(it_prints_as_printf_does),
        cmocka_unit_test(only_what_the_arguments_bring_in_is_cleaned),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
