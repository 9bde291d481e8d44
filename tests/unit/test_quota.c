/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>

#include "quota.h"

static unsigned freed;

static void on_freed(void *ctx)
{
    (void)ctx;
    freed++;
}

static void one_alone_gets_two_thirds_and_not_a_byte_more(void **state)
{
    struct quota q;
    struct quota_bill b;

    (void)state;
    quota_init(&q, 300);
    assert_int_equal(quota_most(&q), 200);
    quota_bill_open(&q, "a", &b);
    assert_int_equal(quota_bill_room(&b), 200);
    assert_false(quota_take(&b, 202));
    assert_true(quota_take(&b, 150));
    assert_int_equal(quota_bill_room(&b), 50);
    assert_true(quota_take(&b, 50));
    assert_int_equal(quota_bill_room(&b), 0);
    quota_take_over(&b, 1);
    assert_int_equal(quota_bill_room(&b), 0);
    quota_give(&b, 1);
    assert_false(quota_take(&b, 2));
    assert_int_equal(q.used, 200);
    assert_int_equal(q.refused, 2);
    quota_bill_close(&b);
    assert_int_equal(q.used, 0);
    quota_deinit(&q);
}

/* Even if many accounts use as much as they can, the next one still gets a share. */
static void the_last_one_still_gets_a_share(void **state)
{
    struct quota q;
    struct quota_bill greedy[8], last;

    (void)state;
    quota_init(&q, 1000000);
    for (size_t i = 0; i < array_len(greedy); i++) {
        char name[16];

        snprintf(name, sizeof(name), "greedy %zu", i);
        quota_bill_open(&q, name, &greedy[i]);
        while (quota_take(&greedy[i], 10))
            ;
        assert_true(q.used < q.max);
    }
    for (size_t i = 0; i < array_len(greedy); i++)
        while (quota_take(&greedy[i], 10))
            ;
    quota_bill_open(&q, "last", &last);
    assert_true(quota_take(&last, 50));
    quota_bill_close(&last);
    for (size_t i = 0; i < array_len(greedy); i++)
        quota_bill_close(&greedy[i]);
    quota_deinit(&q);
}

static void bills_of_one_party_have_one_share(void **state)
{
    struct quota q;
    struct quota_bill b[3];

    (void)state;
    quota_init(&q, 300);
    quota_bill_open(&q, "a", &b[0]);
    quota_bill_open(&q, "a", &b[1]);
    quota_bill_open(&q, "b", &b[2]);
    assert_true(quota_take(&b[0], 100));
    assert_true(quota_take(&b[1], 100));
    assert_false(quota_take(&b[1], 10));
    assert_true(quota_take(&b[2], 60));
    quota_bill_close(&b[0]);
    assert_int_equal(q.used, 160);
    for (size_t i = 1; i < array_len(b); i++)
        quota_bill_close(&b[i]);
    quota_deinit(&q);
}

static void what_is_given_back_is_told_and_can_be_taken_again(void **state)
{
    struct quota q;
    struct quota_bill b;

    (void)state;
    freed = 0;
    quota_init(&q, 300);
    q.freed = on_freed;
    quota_bill_open(&q, "a", &b);
    assert_true(quota_take(&b, 200));
    quota_give(&b, 150);
    assert_int_equal(freed, 1);
    assert_true(quota_take(&b, 150));
    quota_bill_close(&b);
    assert_int_equal(freed, 2);
    quota_bill_close(&b); /* a second close is allowed */
    quota_deinit(&q);
}

static void what_cannot_be_refused_is_counted_beyond_the_ceiling(void **state)
{
    struct quota q;
    struct quota_bill b, other;

    (void)state;
    quota_init(&q, 300);
    quota_bill_open(&q, "a", &b);
    quota_bill_open(&q, "b", &other);
    quota_take_over(&b, 1000);
    assert_int_equal(q.used, 1000);
    assert_false(quota_take(&other, 1));
    quota_give(&b, 1000);
    assert_true(quota_take(&other, 1));
    quota_bill_close(&b);
    quota_bill_close(&other);
    quota_deinit(&q);
}

static void sizes_beyond_all_measure_are_refused(void **state)
{
    struct quota q;
    struct quota_bill b;

    (void)state;
    quota_init(&q, 300);
    quota_bill_open(&q, "a", &b);
    assert_true(quota_take(&b, 1));
    assert_false(quota_take(&b, UINT64_MAX));
    assert_false(quota_take(&b, UINT64_MAX - 1));
    quota_bill_close(&b);
    quota_deinit(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_alone_gets_two_thirds_and_not_a_byte_more),
        cmocka_unit_test(the_last_one_still_gets_a_share),
        cmocka_unit_test(bills_of_one_party_have_one_share),
        cmocka_unit_test(what_is_given_back_is_told_and_can_be_taken_again),
        cmocka_unit_test(what_cannot_be_refused_is_counted_beyond_the_ceiling),
        cmocka_unit_test(sizes_beyond_all_measure_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
