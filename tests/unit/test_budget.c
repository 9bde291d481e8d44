/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "budget.h"
#include "rng.h"

#define HOUR_NS (3600 * NS_PER_S)

static struct budget_limits fastly_hour(void)
{
    return (struct budget_limits){.units = 100000, .window_ns = HOUR_NS, .burst = 5000};
}

static struct budget *make(struct budget_limits limits, uint64_t now_ns)
{
    struct budget *b = alloc_zeroed(1, sizeof(*b));

    budget_init(b, &limits, now_ns);
    return b;
}

static void drop(struct budget *b)
{
    budget_deinit(b);
    free(b);
}

/* When that much is available to the lane, if nobody else reserves. */
static uint64_t available_ns(struct budget *b, enum lane lane, uint64_t cost, uint64_t now)
{
    for (uint64_t when; budget_available(b, lane, now) < cost; now = when) {
        when = budget_when(b, lane, cost, now);
        if (when == NEVER)
            return NEVER;
        assert_true(when > now && budget_available(b, lane, when - 1) < cost);
    }
    return now;
}

/* What Fastly would count: each cost with its time of arrival, over any window in the past. */
struct receiver {
    uint64_t *at;
    uint64_t *cost;
    size_t count, first;
    uint64_t in_window, worst, total;
    uint64_t window_ns;
};

static void receiver_init(struct receiver *r, uint64_t window_ns, size_t room)
{
    *r = (struct receiver){.window_ns = window_ns};
    r->at = alloc_zeroed(room, sizeof(*r->at));
    r->cost = alloc_zeroed(room, sizeof(*r->cost));
}

static void receiver_deinit(struct receiver *r)
{
    free(r->at);
    free(r->cost);
}

static void arrives(struct receiver *r, uint64_t at, uint64_t cost)
{
    r->at[r->count] = at;
    r->cost[r->count++] = cost;
    r->in_window += cost;
    r->total += cost;
    while (r->at[r->first] + r->window_ns <= at)
        r->in_window -= r->cost[r->first++];
    r->worst = max_u64(r->worst, r->in_window);
}

static void a_fresh_account_starts_with_a_full_burst_and_no_more(void **state)
{
    struct budget *b = make(fastly_hour(), HOUR_NS * 7);

    (void)state;
    assert_int_equal(budget_available(b, LANE_URGENT, HOUR_NS * 7), 5000);
    assert_int_equal(budget_available(b, LANE_NORMAL, HOUR_NS * 7), 4500);
    assert_int_equal(budget_available(b, LANE_BULK, HOUR_NS * 7), 2500);
    assert_int_equal(budget_available(b, LANE_URGENT, HOUR_NS * 9), 5000);
    drop(b);
}

static void the_bucket_refills_at_the_hourly_rate(void **state)
{
    struct budget *b = make(fastly_hour(), 0);

    (void)state;
    budget_reserve(b, 5000, 0);
    budget_book(b, 5000, 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 0), 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 36 * NS_PER_S - 1), 999);
    assert_int_equal(budget_available(b, LANE_URGENT, 36 * NS_PER_S), 1000);
    drop(b);
}

static void what_is_open_counts_until_a_window_after_it_was_booked(void **state)
{
    struct budget_limits limits = {.units = 100, .window_ns = HOUR_NS, .burst = 100};
    struct budget *b = make(limits, 0);

    (void)state;
    budget_reserve(b, 100, 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 2 * HOUR_NS), 0); /* still in flight */
    budget_book(b, 100, 2 * HOUR_NS);
    assert_int_equal(budget_available(b, LANE_URGENT, 3 * HOUR_NS), 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 3 * HOUR_NS + NS_PER_S), 100);
    drop(b);
}

static void what_was_never_sent_is_given_back_whole(void **state)
{
    struct budget *b = make(fastly_hour(), 0);

    (void)state;
    budget_reserve(b, 256, 0);
    assert_int_equal(budget_left(b, 0), 100000 - 256);
    budget_give_back(b, 256, 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 0), 5000);
    assert_int_equal(budget_left(b, 0), 100000);
    drop(b);
}

/* The window is as full as a backlog makes it. */
static void a_sliver_of_the_window_is_for_the_lanes_above(void **state)
{
    struct budget_limits limits = {.units = 36000, .window_ns = HOUR_NS, .burst = 18000};
    struct budget *b = make(limits, 2 * HOUR_NS);

    (void)state;
    for (uint64_t s = 15; s < 3600; s++)
        budget_restore_spent(b, 10, (int64_t)(s * NS_PER_S), 2 * HOUR_NS);
    assert_int_equal(budget_available(b, LANE_BULK, 2 * HOUR_NS), 0);
    assert_int_equal(budget_available(b, LANE_NORMAL, 2 * HOUR_NS), 60);
    assert_int_equal(budget_available(b, LANE_URGENT, 2 * HOUR_NS), 150);
    drop(b);
}

/* An urgent flood took the sliver: the lanes below go on slowly while it fills again. */
static void a_lane_whose_sliver_is_spent_goes_on_at_a_quarter_of_the_pace(void **state)
{
    struct budget_limits limits = {.units = 36000, .window_ns = HOUR_NS, .burst = 18000};
    uint64_t now = 2 * HOUR_NS;
    struct budget *b = make(limits, now);

    (void)state;
    for (uint64_t s = 1; s < 3600; s++)
        budget_restore_spent(b, 10, (int64_t)(s * NS_PER_S), now);
    assert_int_equal(budget_available(b, LANE_BULK, now), 0);
    assert_int_equal(budget_pace_micro(b, LANE_URGENT, now), 5000000);
    assert_int_equal(budget_pace_micro(b, LANE_BULK, now), 1250000);
    assert_int_equal(budget_available(b, LANE_BULK, now + NS_PER_S), 1);
    drop(b);
}

static void headroom_is_left_to_others(void **state)
{
    struct budget_limits limits = {
        .units = 100, .window_ns = HOUR_NS, .burst = 100, .headroom = 30};
    struct budget *b = make(limits, 0);

    (void)state;
    assert_int_equal(budget_available(b, LANE_URGENT, 0), 70);
    budget_reserve(b, 70, 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 0), 0);
    drop(b);
}

static void before_the_time_it_says_nothing_is_available_and_then_soon(void **state)
{
    struct rng dice = {7};

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct budget_limits limits = {.units = 1 + rng_below(&dice, 1000000),
                                       .window_ns = NS_PER_S + rng_below(&dice, HOUR_NS)};
        struct budget *b;
        uint64_t now = rng_below(&dice, HOUR_NS), cost;
        enum lane lane = (enum lane)rng_below(&dice, LANE_N);

        limits.burst = 1 + rng_below(&dice, limits.units);
        b = make(limits, now);
        for (int i = 0; i < 50; i++) {
            uint64_t can = budget_available(b, LANE_URGENT, now);
            uint64_t spend = rng_below(&dice, can + 1);

            budget_reserve(b, spend, now);
            budget_book(b, spend, now);
            now += rng_below(&dice, limits.window_ns / 40);
        }
        cost = 1 + rng_below(&dice, budget_crumb(b, lane, now));
        assert_int_not_equal(available_ns(b, lane, cost, now), NEVER);
        drop(b);
    }
}

/* A limiter let 11 through instead of 10, and twice as many at the edge of a fixed window:
 * https://github.com/OptimalBits/bull/issues/2777 */
static void no_sliding_window_ever_holds_more_than_the_budget_S5b(void **state)
{
    struct rng dice = {42};

    (void)state;
    for (int round = 0; round < 8; round++) {
        struct budget_limits limits = {.units = 50 + rng_below(&dice, 5000),
                                       .window_ns = 10 * NS_PER_S};
        struct budget *b;
        struct receiver r;
        uint64_t now = rng_below(&dice, HOUR_NS), end = now + 60 * NS_PER_S;

        limits.burst = 1 + rng_below(&dice, limits.units);
        b = make(limits, now);
        receiver_init(&r, limits.window_ns, 2000000);
        while (now < end) {
            uint64_t can = budget_available(b, (enum lane)rng_below(&dice, LANE_N), now);
            uint64_t cost = rng_below(&dice, min_u64(can, 256) + 1);
            uint64_t travel = rng_below(&dice, 200 * NS_PER_MS);

            if (cost) {
                budget_reserve(b, cost, now);
                now += travel;
                arrives(&r, now - rng_below(&dice, travel + 1), cost);
                budget_book(b, cost, now);
            }
            now += rng_below(&dice, rng_below(&dice, 20) ? 20 * NS_PER_MS : 5 * NS_PER_S);
        }
        assert_true(r.worst <= limits.units);
        receiver_deinit(&r);
        drop(b);
    }
}

/* A limiter's rate fell from 32 to 6 per second over hours:
 * https://github.com/OptimalBits/bull/issues/1540 */
static void a_backlog_of_24_windows_uses_99_percent_of_each_S5c(void **state)
{
    uint64_t window_ns = HOUR_NS / 10, now = 0;
    struct budget *b =
        make((struct budget_limits){.units = 10000, .window_ns = window_ns, .burst = 500}, 0);
    struct receiver r;

    (void)state;
    receiver_init(&r, window_ns, 300000);
    while (now < 24 * window_ns) {
        uint64_t can = budget_available(b, LANE_BULK, now);

        if (can < 28) {
            now = budget_when(b, LANE_BULK, 28, now);
            continue;
        }
        can = min_u64(can, 256);
        budget_reserve(b, can, now);
        arrives(&r, now, can);
        budget_book(b, can, now + 50 * NS_PER_MS);
        now += 50 * NS_PER_MS;
    }
    assert_true(r.worst <= 10000);
    assert_true(r.total >= 24 * 9900);
    receiver_deinit(&r);
    drop(b);
}

/* A limiter allowed everything if the interval was below a millisecond:
 * https://github.com/brandur/redis-cell/issues/50 */
static void every_rate_from_one_an_hour_to_a_million_a_second_is_kept_S5d(void **state)
{
    static const uint64_t rates[] = {1, 2, 59, 3600, 100000, 3600000, UINT64_C(3600000000)};

    (void)state;
    for (size_t i = 0; i < array_len(rates); i++) {
        struct budget_limits limits = {
            .units = rates[i], .window_ns = HOUR_NS, .burst = max_u64(rates[i] / 20, 1)};
        struct budget *b = make(limits, 0);
        uint64_t now = 0, spent = 0;
        uint64_t step = HOUR_NS / 1009; /* no divisor of anything */

        while (now < 2 * HOUR_NS) {
            uint64_t can = budget_available(b, LANE_URGENT, now);

            budget_reserve(b, can, now);
            budget_book(b, can, now);
            spent += can;
            now += step;
        }
        assert_true(spent <= 2 * rates[i]);
        assert_true(spent + spent / 100 + 1 >= 2 * rates[i] - 1);
        drop(b);
    }
}

static void a_restart_refills_nothing(void **state)
{
    struct budget_limits limits = {.units = 1000, .window_ns = 10 * NS_PER_S, .burst = 200};
    struct budget *before = make(limits, NS_PER_S), *after = make(limits, NS_PER_S);

    (void)state;
    budget_reserve(before, 200, NS_PER_S);
    budget_book(before, 200, NS_PER_S);
    budget_restore_level(after, before->level_micro, 100 * NS_PER_MS, NS_PER_S + 100 * NS_PER_MS);
    budget_restore_spent(after, 200, 100 * NS_PER_MS, NS_PER_S + 100 * NS_PER_MS);
    assert_int_equal(budget_available(after, LANE_URGENT, NS_PER_S + 100 * NS_PER_MS), 10);
    assert_int_equal(budget_left(after, NS_PER_S + 100 * NS_PER_MS), 800);
    drop(before);
    drop(after);
}

static void what_may_still_be_arriving_counts_from_when_it_must_have(void **state)
{
    struct budget_limits limits = {.units = 100, .window_ns = HOUR_NS, .burst = 100};
    struct budget *b = make(limits, 10 * NS_PER_S);

    (void)state;
    budget_restore_spent(b, 60, -20 * (int64_t)NS_PER_S, 10 * NS_PER_S);
    budget_restore_spent(b, 40, -1000 * (int64_t)NS_PER_S, 10 * NS_PER_S); /* 180 s at most */
    assert_int_equal(budget_available(b, LANE_URGENT, 30 * NS_PER_S + HOUR_NS), 0);
    assert_int_equal(budget_available(b, LANE_URGENT, 31 * NS_PER_S + HOUR_NS), 60);
    assert_int_equal(budget_available(b, LANE_URGENT, 190 * NS_PER_S + HOUR_NS), 60);
    assert_int_equal(budget_available(b, LANE_URGENT, 191 * NS_PER_S + HOUR_NS), 100);
    drop(b);
}

static void what_a_predecessor_left_open_is_waited_for_and_survives_a_reload(void **state)
{
    struct budget_limits limits = {.units = 100, .window_ns = HOUR_NS, .burst = 100};
    uint64_t now = 5 * HOUR_NS, when;
    struct budget *b = make(limits, now);

    (void)state;
    budget_restore_spent(b, 100, -20 * (int64_t)NS_PER_S, now);
    when = budget_when(b, LANE_URGENT, 1, now);
    assert_in_range(when, now + HOUR_NS + 20 * NS_PER_S, now + HOUR_NS + 22 * NS_PER_S);
    assert_int_equal(budget_available(b, LANE_URGENT, when - 1), 0);
    assert_int_equal(budget_available(b, LANE_URGENT, when), 100);

    budget_restore_spent(b, 100, -20 * (int64_t)NS_PER_S, when);
    budget_set_limits(b, &limits, when);
    assert_int_equal(budget_available(b, LANE_URGENT, when + HOUR_NS + 20 * NS_PER_S), 0);
    drop(b);
}

static void new_limits_keep_what_was_spent(void **state)
{
    struct budget_limits limits = fastly_hour();
    struct budget *b = make(limits, 0);

    (void)state;
    budget_reserve(b, 4000, 0);
    budget_book(b, 4000, 0);
    limits.units = 5000;
    limits.burst = 5000;
    budget_set_limits(b, &limits, NS_PER_S);
    assert_int_equal(budget_left(b, NS_PER_S), 1000);
    drop(b);
}

static void after_a_429_every_lane_goes_on_at_the_pace_of_the_refill(void **state)
{
    struct budget *b = make(fastly_hour(), 0);

    (void)state;
    budget_drain(b, 0);
    assert_int_equal(budget_available(b, LANE_BULK, 0), 0);
    assert_int_equal(budget_available(b, LANE_BULK, NS_PER_S), 27);
    assert_int_equal(budget_available(b, LANE_URGENT, NS_PER_S), 2527);
    budget_reserve(b, 2527, NS_PER_S);
    budget_drain(b, NS_PER_S);
    assert_int_equal(budget_available(b, LANE_URGENT, NS_PER_S), 0);
    drop(b);
}

/* A standby instance reloads its configuration after days without sending. */
static void new_limits_after_a_long_rest_bring_nothing_back(void **state)
{
    struct budget_limits limits = fastly_hour();
    struct budget *b = make(limits, 0);

    (void)state;
    for (uint64_t s = 0; s < 3600; s += 60) {
        budget_reserve(b, 50, s * NS_PER_S);
        budget_book(b, 50, s * NS_PER_S);
    }
    budget_set_limits(b, &limits, 100 * HOUR_NS);
    assert_int_equal(budget_left(b, 100 * HOUR_NS), 100000);
    drop(b);
}

/* Other programs can write to the ledger's stream. */
static void costs_without_end_are_no_budget(void **state)
{
    struct budget *b = make(fastly_hour(), 5 * HOUR_NS);

    (void)state;
    for (int i = 0; i < 4; i++)
        budget_restore_spent(b, UINT64_C(1) << 63, i * 60 * (int64_t)NS_PER_S, 5 * HOUR_NS);
    assert_int_equal(budget_left(b, 5 * HOUR_NS), 0);
    assert_int_equal(budget_left(b, 7 * HOUR_NS), 100000);
    drop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_account_starts_with_a_full_burst_and_no_more),
        cmocka_unit_test(the_bucket_refills_at_the_hourly_rate),
        cmocka_unit_test(what_is_open_counts_until_a_window_after_it_was_booked),
        cmocka_unit_test(what_was_never_sent_is_given_back_whole),
        cmocka_unit_test(a_sliver_of_the_window_is_for_the_lanes_above),
        cmocka_unit_test(a_lane_whose_sliver_is_spent_goes_on_at_a_quarter_of_the_pace),
        cmocka_unit_test(headroom_is_left_to_others),
        cmocka_unit_test(before_the_time_it_says_nothing_is_available_and_then_soon),
        cmocka_unit_test(no_sliding_window_ever_holds_more_than_the_budget_S5b),
        cmocka_unit_test(a_backlog_of_24_windows_uses_99_percent_of_each_S5c),
        cmocka_unit_test(every_rate_from_one_an_hour_to_a_million_a_second_is_kept_S5d),
        cmocka_unit_test(a_restart_refills_nothing),
        cmocka_unit_test(what_may_still_be_arriving_counts_from_when_it_must_have),
        cmocka_unit_test(what_a_predecessor_left_open_is_waited_for_and_survives_a_reload),
        cmocka_unit_test(new_limits_keep_what_was_spent),
        cmocka_unit_test(after_a_429_every_lane_goes_on_at_the_pace_of_the_refill),
        cmocka_unit_test(new_limits_after_a_long_rest_bring_nothing_back),
        cmocka_unit_test(costs_without_end_are_no_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
