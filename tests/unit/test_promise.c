/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "promise.h"
#include "rng.h"

#define LOSS_NS NS_PER_S
#define MS NS_PER_MS

static uint64_t allows(struct promise *p, uint64_t now_ns)
{
    uint64_t when_ns = NEVER;

    return promise_allows(p, LANE_URGENT, now_ns, &when_ns);
}

static void write_one(struct promise *p, uint64_t units, uint64_t promised, uint64_t now_ns)
{
    promise_write(p, units, promised);
    promise_answered(p, PROMISE_WRITTEN, now_ns);
}

/* -- what is allowed -- */

/* The drawing in promise.h. */
static void a_write_is_bound_by_each_one_that_a_failover_can_go_back_to(void **state)
{
    uint64_t when_ns = NEVER;
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_restore(&p, 100);
    write_one(&p, 60, 80, 1000 * MS);
    assert_int_equal(allows(&p, 1100 * MS), 40);
    write_one(&p, 30, 70, 1200 * MS);
    assert_int_equal(allows(&p, 1999 * MS), 10);
    assert_int_equal(allows(&p, 2000 * MS), 50); /* of the second write */
    assert_int_equal(allows(&p, 2200 * MS), 70); /* of the third */
    write_one(&p, 70, 10, 2300 * MS);
    assert_int_equal(promise_allows(&p, LANE_URGENT, 2400 * MS, &when_ns), 0);
    assert_int_equal(when_ns, 3300 * MS);
    assert_int_equal(allows(&p, when_ns), 10);
    promise_deinit(&p);
}

static void a_promise_that_may_not_have_been_written_allows_no_more(void **state)
{
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_restore(&p, 20);
    promise_write(&p, 5, 1000);
    promise_answered(&p, PROMISE_UNSURE, 0);
    assert_int_equal(p.made, 0);
    assert_int_equal(allows(&p, 10 * NS_PER_S), 15);
    write_one(&p, 0, 1000, 10 * NS_PER_S);
    assert_int_equal(allows(&p, 10 * NS_PER_S), 15);
    assert_int_equal(allows(&p, 11 * NS_PER_S), 1000);
    promise_deinit(&p);
}

static void an_answer_to_a_write_that_was_forgotten_changes_nothing(void **state)
{
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_write(&p, 5, 1000);
    promise_forget(&p);
    promise_answered(&p, PROMISE_WRITTEN, 0);
    assert_int_equal(p.made, 0);
    assert_int_equal(allows(&p, 0), NEVER);
    promise_write(&p, 5, 1000);
    promise_restore(&p, 20);
    promise_answered(&p, PROMISE_UNSURE, 0);
    assert_int_equal(p.made, 20);
    assert_int_equal(allows(&p, 10 * LOSS_NS), 20);
    promise_deinit(&p);
}

static void a_burst_leaves_a_part_of_each_promise_to_urgent_purges(void **state)
{
    struct promise p;
    uint64_t when_ns = NEVER;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_restore(&p, 800);
    assert_int_equal(promise_allows(&p, LANE_URGENT, 0, &when_ns), 800);
    assert_int_equal(promise_allows(&p, LANE_NORMAL, 0, &when_ns), 700);
    assert_int_equal(promise_allows(&p, LANE_BULK, 0, &when_ns), 600);
    assert_int_equal(when_ns, NEVER);
    write_one(&p, 700, 800, 5 * MS); /* of which 100 are kept as well */
    assert_int_equal(promise_allows(&p, LANE_NORMAL, 6 * MS, &when_ns), 0);
    assert_int_equal(when_ns, LOSS_NS + 5 * MS);
    assert_int_equal(promise_allows(&p, LANE_URGENT, 6 * MS, &when_ns), 100);
    assert_int_equal(promise_allows(&p, LANE_NORMAL, LOSS_NS + 5 * MS, &when_ns), 700);
    promise_restore(&p, 1); /* nothing is kept of so little */
    assert_int_equal(promise_allows(&p, LANE_BULK, 0, &when_ns), 1);
    promise_deinit(&p);
}

static void a_smaller_promise_holds_at_once(void **state)
{
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_restore(&p, 1000);
    promise_write(&p, 0, 7);
    promise_answered(&p, PROMISE_UNSURE, 0);
    assert_int_equal(allows(&p, 0), 7);
    write_one(&p, 0, 8, 0);
    assert_int_equal(allows(&p, 0), 7);
    promise_deinit(&p);
}

static void nothing_limits_the_first_write(void **state)
{
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    assert_true(allows(&p, 0) > 1000000);
    write_one(&p, 500, 100, 0);
    assert_int_equal(allows(&p, 0), 100);
    promise_forget(&p);
    assert_true(allows(&p, 0) > 1000000);
    promise_deinit(&p);
}

/* -- whatever happens -- */

#define WRITES 60

struct written {
    uint64_t carried_out_ns; /* by Redis; NEVER: not at all */
    uint64_t units, promised;
};

/* Fails if a failover that loses the writes since `back_ns` finds less promised than was reserved.
 */
static void check_failover(const struct written *w, size_t count, uint64_t back_ns)
{
    uint64_t reserved = 0, promised = 0;

    for (size_t i = 0; i < count; i++) {
        if (w[i].carried_out_ns <= back_ns) {
            promised = w[i].promised;
            reserved = 0;
        } else {
            reserved += w[i].units;
        }
    }
    if (reserved > promised)
        fail_msg("%llu are reserved, %llu promised", (unsigned long long)reserved,
                 (unsigned long long)promised);
}

static void play(struct rng *dice)
{
    struct written w[WRITES] = {{.promised = rng_below(dice, 1000)}};
    uint64_t now_ns = 2 * LOSS_NS, gap_ns = 1 + rng_below(dice, 400) * MS;
    struct promise p;

    promise_init(&p, LOSS_NS);
    promise_restore(&p, w[0].promised);
    for (size_t i = 1; i < WRITES; i++) {
        uint64_t took_ns = rng_below(dice, 300) * MS, most;
        bool lost = rng_below(dice, 5) == 0, done = !lost || rng_below(dice, 2);

        now_ns += rng_below(dice, gap_ns);
        most = min_u64(allows(&p, now_ns), 1000);
        w[i] = (struct written){done ? now_ns + rng_below(dice, took_ns + 1) : NEVER,
                                rng_below(dice, 2) ? most : rng_below(dice, most + 1),
                                rng_below(dice, 1000)};
        promise_write(&p, w[i].units, w[i].promised);
        now_ns += took_ns;
        promise_answered(&p, lost ? PROMISE_UNSURE : PROMISE_WRITTEN, now_ns);
        for (int k = 0; k < 20; k++)
            check_failover(w, i + 1, now_ns - rng_below(dice, LOSS_NS));
    }
    promise_deinit(&p);
}

static void no_failover_finds_less_promised_than_was_reserved(void **state)
{
    struct rng dice = {11};

    (void)state;
    for (int i = 0; i < 2000; i++)
        play(&dice);
}

/* Writes of a ledger that promises as ledger.c does, each for 256 units, without a pause. */
static void a_fifth_of_a_free_budget_is_reserved_within_a_second(void **state)
{
    uint64_t left = 100000, now_ns = 0, when_ns = NEVER;
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    promise_restore(&p, promise_size(left, 50500, 28));
    while (left > 80000) {
        uint64_t units = min_u64(256, promise_allows(&p, LANE_URGENT, now_ns, &when_ns));

        assert_true(units > 0);
        left -= units;
        now_ns += MS;
        write_one(&p, units, promise_size(left, left - 49500, 28), now_ns);
    }
    assert_true(now_ns < NS_PER_S);
    promise_deinit(&p);
}

/* -- how much is promised -- */

static void a_quarter_of_what_is_left_is_promised_and_no_pace_is_held_up(void **state)
{
    (void)state;
    assert_int_equal(promise_size(100000, 50500, 28), 25000);
    assert_int_equal(promise_size(50000, 50000, 28), 12500);
    assert_int_equal(promise_size(50000, 100, 28), 128); /* no more can be reserved */
    assert_int_equal(promise_size(250, 0, 28), 56);      /* a backlog */
    assert_int_equal(promise_size(0, 0, 1), 2);
}

static void a_small_difference_is_not_worth_a_write(void **state)
{
    struct promise p;

    (void)state;
    promise_init(&p, LOSS_NS);
    assert_true(promise_is_stale(&p, 1));
    promise_restore(&p, 800);
    assert_false(promise_is_stale(&p, 900));
    assert_false(promise_is_stale(&p, 700));
    assert_true(promise_is_stale(&p, 920));
    assert_true(promise_is_stale(&p, 690));
    promise_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_bound_by_each_one_that_a_failover_can_go_back_to),
        cmocka_unit_test(a_promise_that_may_not_have_been_written_allows_no_more),
        cmocka_unit_test(an_answer_to_a_write_that_was_forgotten_changes_nothing),
        cmocka_unit_test(a_burst_leaves_a_part_of_each_promise_to_urgent_purges),
        cmocka_unit_test(a_smaller_promise_holds_at_once),
        cmocka_unit_test(nothing_limits_the_first_write),
        cmocka_unit_test(no_failover_finds_less_promised_than_was_reserved),
        cmocka_unit_test(a_fifth_of_a_free_budget_is_reserved_within_a_second),
        cmocka_unit_test(a_quarter_of_what_is_left_is_promised_and_no_pace_is_held_up),
        cmocka_unit_test(a_small_difference_is_not_worth_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
