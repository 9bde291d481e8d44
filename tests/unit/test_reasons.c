/* SPDX-License-Identifier: MIT
 * Reasons for which batches wait: a text is kept once, only while a batch has it, and only so many
 * are kept at once. */
#include "unit.h"

#include <stdio.h>

#include "reasons.h"

static void a_text_is_kept_once_while_somebody_holds_it(void **state)
{
    struct reasons r = {0};
    uint16_t first = reasons_hold(&r, "503: first byte timeout"), other;
    uint64_t bytes = reasons_bytes(&r);

    (void)state;
    assert_true(first > 0 && bytes > 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(reasons_hold(&r, "503: first byte timeout"), first);
    assert_int_equal(reasons_bytes(&r), bytes);
    other = reasons_hold(&r, "503");
    assert_int_not_equal(other, first);
    assert_string_equal(reasons_text(&r, other), "503");
    reasons_drop(&r, other);
    for (int i = 0; i < 1000; i++)
        reasons_drop(&r, first);
    assert_string_equal(reasons_text(&r, first), "503: first byte timeout");
    reasons_drop(&r, first);
    assert_int_equal(reasons_bytes(&r), 0);
}

static void nothing_is_no_reason(void **state)
{
    struct reasons r = {0};

    (void)state;
    assert_int_equal(reasons_hold(&r, ""), 0);
    assert_string_equal(reasons_text(&r, 0), "");
    reasons_drop(&r, 0);
    assert_int_equal(reasons_bytes(&r), 0);
}

/* As when each answer has a number of its own in its body. */
static void what_comes_beyond_the_limit_is_not_kept(void **state)
{
    struct reasons r = {0};
    uint16_t numbers[REASONS_MAX];
    char text[32];

    (void)state;
    for (uint32_t i = 0; i < REASONS_MAX; i++) {
        snprintf(text, sizeof(text), "503: XID %u", i);
        numbers[i] = reasons_hold(&r, text);
        assert_true(numbers[i] > 0);
    }
    assert_int_equal(reasons_hold(&r, "503: XID 64"), 0);
    assert_int_equal(reasons_hold(&r, "503: XID 7"), numbers[7]);
    reasons_drop(&r, numbers[7]);
    reasons_drop(&r, numbers[3]);
    assert_int_equal(reasons_hold(&r, "503: XID 64"), numbers[3]);
    assert_string_equal(reasons_text(&r, numbers[3]), "503: XID 64");
    for (uint32_t i = 0; i < REASONS_MAX; i++)
        reasons_drop(&r, numbers[i]);
    assert_int_equal(reasons_bytes(&r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_kept_once_while_somebody_holds_it),
        cmocka_unit_test(nothing_is_no_reason),
        cmocka_unit_test(what_comes_beyond_the_limit_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
