/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "memory.h"

#define MIB ((uint64_t)1 << 20)

static void a_lane_leaves_a_twentieth_to_each_above_it(void **state)
{
    struct memory m;
    struct memory_user u;

    (void)state;
    memory_init(&m, 200 * MIB, 1);
    memory_join(&m, &u);
    assert_int_equal(memory_room(&u, LANE_URGENT), 200 * MIB);
    assert_int_equal(memory_room(&u, LANE_NORMAL), 190 * MIB);
    assert_int_equal(memory_room(&u, LANE_BULK), 180 * MIB);
    memory_use(&u, 180 * MIB);
    assert_int_equal(memory_room(&u, LANE_BULK), 0);
    assert_int_equal(memory_room(&u, LANE_NORMAL), 10 * MIB);
    assert_int_equal(memory_room(&u, LANE_URGENT), 20 * MIB);
    memory_use(&u, 300 * MIB);
    assert_int_equal(memory_room(&u, LANE_URGENT), 0);
    memory_use(&u, 0);
    assert_int_equal(memory_room(&u, LANE_BULK), 180 * MIB);
}

static void share(struct memory *m, struct memory_user *a, struct memory_user *b)
{
    memory_init(m, 200 * MIB, 2);
    memory_join(m, a);
    memory_join(m, b);
}

/* A bulk backlog of one account must not delay the urgent jobs of another. */
static void what_one_account_holds_leaves_the_others_their_part(void **state)
{
    struct memory m;
    struct memory_user a, b;

    (void)state;
    share(&m, &a, &b);
    assert_int_equal(memory_room(&a, LANE_BULK), (50 + 80) * MIB);
    assert_true(memory_is_ours(&a));
    memory_use(&a, 130 * MIB);
    assert_true(memory_is_ours(&a));
    assert_false(memory_is_ours(&b));
    assert_int_equal(memory_room(&b, LANE_BULK), 45 * MIB);
    assert_int_equal(memory_room(&b, LANE_URGENT), (50 + 20) * MIB);
    memory_use(&a, 150 * MIB); /* its urgent jobs have used all memory */
    assert_int_equal(memory_room(&b, LANE_BULK), 45 * MIB);
    assert_int_equal(memory_room(&b, LANE_URGENT), 50 * MIB);
    memory_leave(&a);
    assert_int_equal(memory_room(&b, LANE_URGENT), 150 * MIB);
}

static void what_is_claimed_is_kept_from_the_same_lane_and_those_below(void **state)
{
    struct memory m;
    struct memory_user a, b;

    (void)state;
    share(&m, &a, &b);
    memory_use(&a, 130 * MIB);
    memory_use(&b, 50 * MIB);
    memory_claim(&b, LANE_NORMAL, 20 * MIB);
    memory_use(&a, 100 * MIB); /* 30 are freed, 20 of which are claimed */
    assert_int_equal(memory_room(&a, LANE_BULK), 10 * MIB);
    assert_int_equal(memory_room(&a, LANE_NORMAL), 20 * MIB);
    assert_int_equal(memory_room(&a, LANE_URGENT), 50 * MIB);
    assert_int_equal(memory_room(&b, LANE_NORMAL), 40 * MIB);
    assert_int_equal(memory_room(&b, LANE_BULK), 0); /* even its own: the claim goes first */
    memory_claim(&a, LANE_NORMAL, 100 * MIB);        /* only the first claim counts */
    assert_int_equal(memory_room(&b, LANE_NORMAL), 40 * MIB);
    memory_unclaim(&a, LANE_NORMAL);
    memory_unclaim(&b, LANE_NORMAL);
    assert_int_equal(memory_room(&a, LANE_BULK), 30 * MIB);
    assert_int_equal(memory_room(&b, LANE_BULK), 30 * MIB);
}

static void the_claim_of_who_leaves_is_over(void **state)
{
    struct memory m;
    struct memory_user a, b;

    (void)state;
    share(&m, &a, &b);
    memory_use(&b, 50 * MIB);
    memory_claim(&b, LANE_BULK, 60 * MIB);
    assert_int_equal(memory_room(&a, LANE_BULK), 70 * MIB);
    memory_leave(&b);
    assert_int_equal(memory_room(&a, LANE_BULK), 130 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_leaves_a_twentieth_to_each_above_it),
        cmocka_unit_test(what_one_account_holds_leaves_the_others_their_part),
        cmocka_unit_test(what_is_claimed_is_kept_from_the_same_lane_and_those_below),
        cmocka_unit_test(the_claim_of_who_leaves_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
