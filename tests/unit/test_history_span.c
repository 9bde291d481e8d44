/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "history_span.h"

#define SECOND UINT64_C(1700000000000)

static void the_smallest_and_the_largest_id_of_each_four_seconds_are_kept(void **state)
{
    struct history_spans s = {.count = 0};

    (void)state;
    history_spans_add(&s, SECOND + 7, 1);
    history_spans_add(&s, SECOND + 4000, 3);
    history_spans_add(&s, SECOND + 3999, 0);
    history_spans_add(&s, SECOND + 7, 0);
    history_spans_add(&s, SECOND + 3999, 12);
    history_spans_add(&s, SECOND + 3999, 9);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.at[0].first_ms, SECOND + 7);
    assert_int_equal(s.at[0].first_seq, 0);
    assert_int_equal(s.at[0].last_ms, SECOND + 3999);
    assert_int_equal(s.at[0].last_seq, 12);
    assert_int_equal(s.at[1].first_ms, SECOND + 4000);
    assert_int_equal(s.at[1].last_seq, 3);
}

static void each_job_may_be_of_another_time(void **state)
{
    struct history_spans s = {.count = 0};

    (void)state;
    for (uint64_t i = 0; i < HISTORY_SPANS_MAX; i++)
        history_spans_add(&s, SECOND + i * HISTORY_SPAN_MS, 0);
    assert_int_equal(s.count, HISTORY_SPANS_MAX);
}

static void places_have_the_order_of_ids_and_fit_into_a_double(void **state)
{
    const uint64_t most = UINT64_C(999999999999);

    (void)state;
    assert_true(history_span_fits(SECOND, most));
    assert_false(history_span_fits(SECOND, most + 1));
    assert_true(history_span_fits(UINT64_C(99999999999999), 0));
    assert_false(history_span_fits(UINT64_C(100000000000000), 0));
    assert_int_equal(history_span_score(SECOND, 5), 5);
    assert_true(history_span_score(SECOND, most) < history_span_score(SECOND + 1, 0));
    assert_true(history_span_score(SECOND + 3999, most) < UINT64_C(1) << 53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_and_the_largest_id_of_each_four_seconds_are_kept),
        cmocka_unit_test(each_job_may_be_of_another_time),
        cmocka_unit_test(places_have_the_order_of_ids_and_fit_into_a_double),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
