/* SPDX-License-Identifier: MIT */
#include "redis_slot.h"
#include "unit.h"

/* As CLUSTER KEYSLOT of Redis 7.0 answers. */
static void slots_are_those_of_redis(void **state)
{
    (void)state;
    assert_int_equal(redis_slot_of(SPAN("123456789")), 12739);
    assert_int_equal(redis_slot_of(SPAN("foo")), 12182);
    assert_int_equal(redis_slot_of(SPAN("")), 0);
}

static void only_the_hash_tag_counts(void **state)
{
    (void)state;
    assert_int_equal(redis_slot_of(SPAN("purgeline:{foo}:lease")), 12182);
    assert_int_equal(redis_slot_of(SPAN("{foo}{bar}")), 12182);
    assert_int_equal(redis_slot_of(SPAN("purgeline:{news}:jobs:bulk")), 5161);
    assert_int_not_equal(redis_slot_of(SPAN("{}foo")), 12182);
    assert_int_not_equal(redis_slot_of(SPAN("{foo")), 12182);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_those_of_redis),
        cmocka_unit_test(only_the_hash_tag_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
