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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_distinct_and_what_they_name_does_not_move),
        cmocka_unit_test(what_was_given_back_is_taken_again_before_anything_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
