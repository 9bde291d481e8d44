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

#include "buf.h"

static void a_new_buffer_is_an_empty_span(void **state)
{
    struct buf b;

    buf_init(&b, 10);
    assert_true(span_is(buf_span(&b), ""));
    buf_deinit(&b);
    (void)state;
}

static void a_buffer_takes_exactly_its_ceiling(void **state)
{
    struct buf b;

    buf_init(&b, 8);
    assert_int_equal(buf_try_put(&b, SPAN("1234567")), 0);
    assert_int_equal(buf_try_put(&b, SPAN("89")), -EMSGSIZE);
    assert_true(span_is(buf_span(&b), "1234567"));
    assert_int_equal(buf_try_put(&b, SPAN("8")), 0);
    assert_int_equal(buf_try_put(&b, SPAN("9")), -EMSGSIZE);
    assert_true(span_is(buf_span(&b), "12345678"));
    assert_int_equal(buf_try_put(&b, SPAN("")), 0);
    buf_deinit(&b);
    (void)state;
}

static void a_length_that_would_wrap_round_is_refused(void **state)
{
    struct buf b;

    buf_init(&b, 100);
    buf_put(&b, SPAN("x"));
    assert_int_equal(buf_try_put(&b, span_of("y", SIZE_MAX)), -EMSGSIZE);
    assert_int_equal(b.n, 1);
    buf_deinit(&b);
    (void)state;
}

static void growing_keeps_every_byte_and_the_final_nul(void **state)
{
    struct buf b;

    buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++) {
        buf_putc(&b, (char)('a' + i % 26));
        assert_int_equal(b.p[b.n], '\0');
        assert_true(b.room > b.n);
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    buf_deinit(&b);
    (void)state;
}

static void formatted_text_fills_up_to_the_ceiling(void **state)
{
    struct buf b;

    buf_init(&b, 10);
    buf_printf(&b, "%s=%d", "key", 123456);
    assert_true(span_is(buf_span(&b), "key=123456"));
    buf_printf(&b, "%s", "");
    assert_int_equal(b.n, 10);
    buf_deinit(&b);
    (void)state;
}

static void clearing_keeps_the_memory(void **state)
{
    struct buf b;
    char *before;

    buf_init(&b, 100);
    buf_put(&b, SPAN("something"));
    before = b.p;
    buf_clear(&b);
    assert_true(span_is(buf_span(&b), ""));
    buf_put(&b, SPAN("else"));
    assert_ptr_equal(b.p, before);
    assert_string_equal(b.p, "else");
    buf_deinit(&b);
    (void)state;
}

static void taken_bytes_belong_to_the_taker(void **state)
{
    struct buf b;
    char *text;

    buf_init(&b, 100);
    buf_put(&b, SPAN("mine"));
    text = buf_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.p);
    assert_int_equal(b.max, 100);
    free(text);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    buf_deinit(&b);
    (void)state;
}

static void a_number_is_appended_in_decimal(void **state)
{
    static const uint64_t numbers[] = {0, 9, 10, 1000000, UINT64_MAX};
    struct buf b;

    buf_init(&b, 1000);
    for (size_t i = 0; i < array_len(numbers); i++) {
        buf_put_u64(&b, numbers[i]);
        buf_putc(&b, ' ');
    }
    assert_true(span_is(buf_span(&b), "0 9 10 1000000 18446744073709551615 "));
    buf_deinit(&b);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_an_empty_span),
        cmocka_unit_test(a_buffer_takes_exactly_its_ceiling),
        cmocka_unit_test(a_number_is_appended_in_decimal),
        cmocka_unit_test(a_length_that_would_wrap_round_is_refused),
        cmocka_unit_test(growing_keeps_every_byte_and_the_final_nul),
        cmocka_unit_test(formatted_text_fills_up_to_the_ceiling),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(taken_bytes_belong_to_the_taker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
