/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "suggest.h"

static void a_slip_of_the_finger_finds_the_word_and_nonsense_does_not(void **state)
{
    static const char *const words[] = {"push", "status", "dead", "pause", "resume"};

    (void)state;
    assert_string_equal(suggest_word("psuh", words, 5), "push");
    assert_string_equal(suggest_word("staus", words, 5), "status");
    assert_string_equal(suggest_word("paus", words, 5), "pause");
    assert_null(suggest_word("qqqqq", words, 5));
    assert_null(suggest_word("", words, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_of_the_finger_finds_the_word_and_nonsense_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
