/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "pool.h"

static void numbers_are_distinct_and_what_they_name_does_not_move(void **state)
{
    struct pool p;
    uint64_t *first;

    (void)state;
    pool_init(&p, sizeof(uint64_t));
    pool_take(&p);
    first = pool_at(&p, 0);
    *first = 42;
    for (uint32_t i = 1; i < 3 * POOL_CHUNK; i++) {
        assert_int_equal(pool_take(&p), i);
        *(uint64_t *)pool_at(&p, i) = i;
    }
    assert_ptr_equal(pool_at(&p, 0), first);
    assert_int_equal(*first, 42);
    for (uint32_t i = 1; i < 3 * POOL_CHUNK; i++)
        assert_int_equal(*(uint64_t *)pool_at(&p, i), i);
    pool_deinit(&p);
}

static void what_was_given_back_is_taken_again_before_anything_grows(void **state)
{
    struct pool p;

    (void)state;
    pool_init(&p, 16);
    for (uint32_t i = 0; i < POOL_CHUNK; i++)
        pool_take(&p);
    pool_give(&p, 7);
    pool_give(&p, 9);
    assert_int_equal(p.used, POOL_CHUNK - 2);
    assert_int_equal(pool_take(&p), 9);
    assert_int_equal(pool_take(&p), 7);
    assert_int_equal(p.chunks_count, 1);
    assert_int_equal(pool_take(&p), POOL_CHUNK);
    assert_int_equal(p.chunks_count, 2);
    pool_deinit(&p);
}

/* 10,000 keys for 3,000 jobs: memory that was used for a peak must be available for other things
 * afterwards. */
static void chunks_with_nothing_in_them_are_freed_but_for_one(void **state)
{
    struct pool p;

    (void)state;
    pool_init(&p, 8);
    for (uint32_t i = 0; i < 5 * POOL_CHUNK; i++)
        pool_take(&p);
    assert_int_equal(p.allocated, 5);
    assert_int_equal(pool_growth_bytes(&p, 1), POOL_CHUNK * 8);
    for (uint32_t i = 0; i < 4 * POOL_CHUNK; i++)
        pool_give(&p, i);
    assert_int_equal(p.allocated, 2);
    assert_int_equal(pool_bytes(&p), 2 * POOL_CHUNK * 8);
    assert_int_equal(pool_growth_bytes(&p, POOL_CHUNK), 0);
    assert_int_equal(pool_growth_bytes(&p, POOL_CHUNK + 1), POOL_CHUNK * 8);
    for (uint32_t i = 0; i < 4 * POOL_CHUNK; i++) {
        uint32_t number = pool_take(&p);

        assert_in_range(number, 0, 4 * POOL_CHUNK - 1);
        assert_true(pool_has_memory(&p, number));
        memset(pool_at(&p, number), 0xff, 8);
    }
    assert_int_equal(p.allocated, 5);
    assert_int_equal(pool_take(&p), 5 * POOL_CHUNK);
    pool_deinit(&p);
}

static void what_was_never_taken_is_zero_also_in_memory_that_came_back(void **state)
{
    struct pool p;

    (void)state;
    pool_init(&p, 8);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 2 * POOL_CHUNK; i++)
            memset(pool_at(&p, pool_take(&p)), 0xff, 8);
        for (uint32_t i = 0; i < 2 * POOL_CHUNK; i++)
            pool_give(&p, i);
        for (uint32_t i = 0; i < pool_end(&p); i++)
            if (pool_has_memory(&p, i) && p.chunks[i / POOL_CHUNK].fresh == 0)
                assert_int_equal(*(uint64_t *)pool_at(&p, i), 0);
    }
    assert_int_equal(p.used, 0);
    assert_int_equal(p.allocated, 1);
    pool_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_distinct_and_what_they_name_does_not_move),
        cmocka_unit_test(what_was_given_back_is_taken_again_before_anything_grows),
        cmocka_unit_test(chunks_with_nothing_in_them_are_freed_but_for_one),
        cmocka_unit_test(what_was_never_taken_is_zero_also_in_memory_that_came_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
