/* SPDX-License-Identifier: MIT
 * The samples of the last hour: gaps, and what is older than an hour. */
#include "unit.h"

#include "hour.h"

static void put(struct hour_ring *r, uint64_t step, uint32_t waiting)
{
    hour_ring_put(r, step, &(struct hour_sample){1, waiting, 3, 4});
}

static void samples_are_found_by_their_steps(void **state)
{
    struct hour_ring r = {.last = 0};

    (void)state;
    put(&r, 7, 70);
    put(&r, 8, 80);
    assert_int_equal(r.first, 7);
    assert_int_equal(r.last, 8);
    assert_int_equal(hour_ring_at(&r, 7)->waiting, 70);
    assert_int_equal(hour_ring_at(&r, 8)->waiting, 80);
    put(&r, 8, 81);
    assert_int_equal(hour_ring_at(&r, 8)->waiting, 81);
}

static void steps_without_a_sample_are_unknown(void **state)
{
    struct hour_ring r = {.last = 0};

    (void)state;
    put(&r, 7, 70);
    put(&r, 10, 100);
    assert_int_equal(hour_ring_at(&r, 8)->waiting, HOUR_UNKNOWN);
    assert_int_equal(hour_ring_at(&r, 9)->sent, HOUR_UNKNOWN);
    assert_int_equal(hour_ring_at(&r, 10)->waiting, 100);
}

static void only_an_hour_is_kept(void **state)
{
    struct hour_ring r = {.last = 0};

    (void)state;
    for (uint64_t step = 1; step <= 2 * HOUR_SAMPLES + 5; step++) {
        put(&r, step, (uint32_t)step);
        assert_int_equal(r.first, step < HOUR_SAMPLES ? 1 : step - HOUR_SAMPLES + 1);
        assert_int_equal(hour_ring_at(&r, r.first)->waiting, r.first);
    }
}

static void after_more_than_an_hour_it_begins_anew(void **state)
{
    struct hour_ring r = {.last = 0};

    (void)state;
    put(&r, 5, 50);
    put(&r, 5 + HOUR_SAMPLES - 1, 51);
    assert_int_equal(r.first, 5);
    put(&r, 5 + 3 * HOUR_SAMPLES, 52);
    assert_int_equal(r.first, r.last);
    assert_int_equal(hour_ring_at(&r, r.last)->waiting, 52);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_found_by_their_steps),
        cmocka_unit_test(steps_without_a_sample_are_unknown),
        cmocka_unit_test(only_an_hour_is_kept),
        cmocka_unit_test(after_more_than_an_hour_it_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
