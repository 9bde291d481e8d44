/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "clock.h"
#include "loglimit.h"

static void ten_lines_a_second_are_written_and_the_others_counted(void **state)
{
    struct loglimit l = {0};
    uint64_t unwritten, t = 5 * NS_PER_S;

    (void)state;
    assert_true(loglimit_end(&l, t, &unwritten) == NEVER);
    for (unsigned i = 0; i < 25; i++)
        assert_int_equal(loglimit_take(&l, t + i), i < LOGLIMIT_PER_S);
    assert_true(loglimit_end(&l, t + NS_PER_S - 1, &unwritten) == t + NS_PER_S);
    assert_int_equal(unwritten, 0);
    assert_true(loglimit_end(&l, t + NS_PER_S, &unwritten) == NEVER);
    assert_int_equal(unwritten, 15);
    assert_true(loglimit_take(&l, t + NS_PER_S));
    assert_true(loglimit_end(&l, NEVER, &unwritten) == NEVER);
    assert_int_equal(unwritten, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_lines_a_second_are_written_and_the_others_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
