/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "top_rates.h"

static struct top_rates rates;

static int begin(void **state)
{
    (void)state;
    memset(&rates, 0, sizeof(rates));
    return 0;
}

/* So many readings, one a second, each higher than the last one by `step`. */
static void grow(uint32_t seconds, uint64_t step)
{
    static uint64_t at_ms, counter;

    if (rates.count == 0)
        at_ms = counter = 1000;
    for (uint32_t i = 0; i < seconds; i++) {
        top_rates_add(&rates, counter, at_ms);
        counter += step;
        at_ms += 1000;
    }
}

static void assert_rates(int over_10, int over_100, int over_1000)
{
    assert_int_equal((int)(top_rates_of(&rates, TOP_10_S) + 0.5), over_10);
    assert_int_equal((int)(top_rates_of(&rates, TOP_100_S) + 0.5), over_100);
    assert_int_equal((int)(top_rates_of(&rates, TOP_1000_S) + 0.5), over_1000);
}

static void nothing_is_known_before_the_second_reading(void **state)
{
    (void)state;
    assert_rates(0, 0, 0);
    grow(1, 50);
    assert_rates(0, 0, 0);
    grow(1, 50);
    assert_rates(50, 50, 50);
}

static void each_average_is_over_its_own_time(void **state)
{
    (void)state;
    grow(1000, 100);
    grow(90, 0);
    grow(11, 10);
    assert_rates(10, 1, 90);
}

static void a_counter_that_starts_again_counts_from_zero(void **state)
{
    (void)state;
    top_rates_add(&rates, 1000, 1000);
    top_rates_add(&rates, 20, 2000);
    assert_rates(20, 20, 20);
}

static void the_counter_of_another_leader_is_not_compared(void **state)
{
    (void)state;
    top_rates_add(&rates, 1000, 1000);
    top_rates_break(&rates, 5000);
    top_rates_add(&rates, 5030, 2000);
    assert_rates(30, 30, 30);
}

static void readings_that_are_too_close_are_left_out(void **state)
{
    (void)state;
    top_rates_add(&rates, 0, 1000);
    top_rates_add(&rates, 500, 1100);
    assert_int_equal(rates.count, 1);
    top_rates_add(&rates, 600, 2000);
    assert_rates(600, 600, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_known_before_the_second_reading, begin),
        cmocka_unit_test_setup(each_average_is_over_its_own_time, begin),
        cmocka_unit_test_setup(a_counter_that_starts_again_counts_from_zero, begin),
        cmocka_unit_test_setup(the_counter_of_another_leader_is_not_compared, begin),
        cmocka_unit_test_setup(readings_that_are_too_close_are_left_out, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
