/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "histogram.h"

static void a_bound_belongs_to_the_bucket_below_it(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        struct histogram h = {0};

        histogram_add(&h, histogram_bounds_us[i] - 1);
        histogram_add(&h, histogram_bounds_us[i]);
        assert_int_equal(h.count[i], 2);
        histogram_add(&h, histogram_bounds_us[i] + 1);
        assert_int_equal(h.count[i], 2);
        assert_int_equal(h.count[i + 1], 1);
        assert_int_equal(h.sum_us, 3 * histogram_bounds_us[i]);
    }
}

static void the_bounds_rise_from_half_a_millisecond_past_an_hour(void **state)
{
    (void)state;
    assert_int_equal(histogram_bounds_us[0], 500);
    for (uint32_t i = 1; i < HISTOGRAM_BOUNDS; i++)
        assert_true(histogram_bounds_us[i - 1] < histogram_bounds_us[i]);
    assert_true(histogram_bounds_us[HISTOGRAM_BOUNDS - 1] > UINT64_C(3600) * 1000000);
}

static void nothing_is_too_long(void **state)
{
    struct histogram h = {0};

    (void)state;
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(h.count[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram_count(&h), 1);
    assert_int_equal(histogram_quantile_us(&h, 500), histogram_bounds_us[HISTOGRAM_BOUNDS - 1]);
}

static void a_quantile_is_in_the_bucket_where_it_belongs(void **state)
{
    struct histogram h = {0};

    (void)state;
    assert_int_equal(histogram_quantile_us(&h, 990), 0);
    for (int i = 0; i < 990; i++)
        histogram_add(&h, 1500); /* 1 to 2 ms */
    for (int i = 0; i < 10; i++)
        histogram_add(&h, 300000); /* 200 to 500 ms */
    assert_in_range(histogram_quantile_us(&h, 500), 1001, 2000);
    assert_int_equal(histogram_quantile_us(&h, 990), 2000);
    assert_in_range(histogram_quantile_us(&h, 991), 200001, 500000);
    assert_int_equal(histogram_quantile_us(&h, 1000), 500000);
    assert_in_range(histogram_quantile_us(&h, 0), 1001, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_belongs_to_the_bucket_below_it),
        cmocka_unit_test(the_bounds_rise_from_half_a_millisecond_past_an_hour),
        cmocka_unit_test(nothing_is_too_long),
        cmocka_unit_test(a_quantile_is_in_the_bucket_where_it_belongs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
