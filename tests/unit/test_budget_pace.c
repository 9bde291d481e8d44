/* SPDX-License-Identifier: MIT
 * The pace and the bursts of the lanes, over long and random histories. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "budget.h"
#include "rng.h"

#define HOUR_NS (3600 * NS_PER_S)

/* How long a lane with work may get nothing, at Fastly's rate. */
static const uint64_t patience_ns[LANE_N] = {NS_PER_S, 10 * NS_PER_S, 60 * NS_PER_S};

/* With the defaults of the settings. */
static struct budget_limits limits_of(uint64_t units, uint64_t window_ns)
{
    return (struct budget_limits){.units = units,
                                  .window_ns = window_ns,
                                  .burst = config_burst(&(struct config_budget){.purges = units}),
                                  .leaves = {20, 50, 75}};
}

static struct budget_limits fastly_hour(void)
{
    return limits_of(100000, HOUR_NS);
}

/* A tenth of Fastly's hour at Fastly's rate. */
#define SHORT_NS (HOUR_NS / 10)
#define SHORT_UNITS 10000

/* -- the receiving side ---------------------------------------------------------------------- */

#define EVENTS 32768

struct event {
    uint64_t at_ns, cost;
};

/* What the receiving side counts, and what Redis would remember. */
struct history {
    struct budget b;
    struct rng rng;
    uint64_t now_ns, began_ns;
    struct event sent[EVENTS];
    uint32_t count, first;
    uint64_t in_window, worst, total;
};

static void begin(struct history *h, const struct budget_limits *limits, uint64_t seed)
{
    h->rng.state = seed;
    h->now_ns = h->began_ns = HOUR_NS * 3 + rng_below(&h->rng, HOUR_NS);
    h->count = h->first = 0;
    h->in_window = h->worst = h->total = 0;
    budget_init(&h->b, limits, h->now_ns);
}

static void arrives(struct history *h, uint64_t at_ns, uint64_t cost)
{
    must(h->count < EVENTS);
    h->sent[h->count++] = (struct event){at_ns, cost};
    h->in_window += cost;
    h->total += cost;
    while (h->sent[h->first].at_ns + h->b.limits.window_ns <= at_ns)
        h->in_window -= h->sent[h->first++].cost;
    h->worst = max_u64(h->worst, h->in_window);
}

/* Sends `cost` units, which arrive on the way there and are booked with the answer. */
static void spend(struct history *h, uint64_t cost, uint64_t travel_ns)
{
    if (cost == 0)
        return;
    budget_reserve(&h->b, cost, h->now_ns);
    h->now_ns += travel_ns;
    arrives(h, h->now_ns - rng_below(&h->rng, travel_ns + 1), cost);
    budget_book(&h->b, cost, h->now_ns);
}

/* A new leader knows what was booked, to the millisecond. */
static void restart(struct history *h)
{
    struct budget_limits limits = h->b.limits;
    uint64_t level_micro = h->b.level_micro, away_ns = rng_below(&h->rng, 5 * NS_PER_S);

    h->now_ns += away_ns;
    budget_init(&h->b, &limits, h->now_ns);
    budget_restore_level(&h->b, level_micro, away_ns, h->now_ns);
    for (uint32_t i = h->first; i < h->count; i++)
        budget_restore_spent(&h->b, h->sent[i].cost,
                             (int64_t)((h->now_ns - h->sent[i].at_ns) / NS_PER_MS * NS_PER_MS),
                             h->now_ns);
}

/* When the lane gets a unit if it alone has work from now on. */
static uint64_t first_unit_ns(const struct history *h, enum lane lane)
{
    struct budget b = h->b;
    uint64_t now_ns = h->now_ns;

    if (b.bins) {
        b.bins = alloc_zeroed(BUDGET_RING, sizeof(*b.bins));
        memcpy(b.bins, h->b.bins, BUDGET_RING * sizeof(*b.bins));
    }
    while (budget_available(&b, lane, now_ns) == 0) {
        uint64_t when_ns = budget_when(&b, lane, 1, now_ns);

        assert_true(when_ns > now_ns && when_ns < NEVER);
        now_ns = when_ns;
    }
    budget_deinit(&b);
    return now_ns;
}

static void nobody_waits_too_long(const struct history *h)
{
    for (int lane = 0; lane < LANE_N; lane++)
        assert_in_range(first_unit_ns(h, (enum lane)lane) - h->now_ns, 0, patience_ns[lane]);
}

/* -- examples -------------------------------------------------------------------------------- */

static uint64_t pace(struct history *h, enum lane lane)
{
    return budget_pace_micro(&h->b, lane, h->now_ns);
}

static void of_an_idle_hour_each_lane_may_send_its_part_at_once(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = fastly_hour();

    begin(h, &limits, 1);
    assert_int_equal(budget_available(&h->b, LANE_URGENT, h->now_ns), 50500);
    assert_int_equal(budget_available(&h->b, LANE_NORMAL, h->now_ns), 50000); /* exactly half */
    assert_int_equal(budget_available(&h->b, LANE_BULK, h->now_ns), 25000);
}

static void a_burst_is_paid_for_by_the_pace_until_it_has_left_the_window(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = limits_of(SHORT_UNITS, SHORT_NS);

    begin(h, &limits, 2);
    assert_int_equal(pace(h, LANE_URGENT), 27777777); /* millionths of 10,000 / 360 s */
    spend(h, 5000, 0);
    assert_int_equal(pace(h, LANE_URGENT), 13888888);
    assert_int_equal(budget_available(&h->b, LANE_NORMAL, h->now_ns), 0);
    for (uint64_t s = 0; s < 355; s++) {
        h->now_ns += NS_PER_S;
        spend(h, budget_available(&h->b, LANE_NORMAL, h->now_ns), 0);
        assert_int_equal(budget_available(&h->b, LANE_NORMAL, h->now_ns), 0);
        assert_in_range(pace(h, LANE_NORMAL), 13600000, 14100000);
    }
    assert_in_range(budget_left(&h->b, h->now_ns), 25, 150);
    h->now_ns += 7 * NS_PER_S;
    assert_in_range(pace(h, LANE_URGENT), 27700000, 27777777);
    assert_true(budget_available(&h->b, LANE_NORMAL, h->now_ns) > 4800);
}

/* What leaves the window soon may be spent before. */
static void the_pace_counts_on_what_leaves_the_window(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = fastly_hour();

    begin(h, &limits, 3);
    for (uint64_t s = 3600; s-- > 10;)
        budget_restore_spent(&h->b, 27, (int64_t)(s * NS_PER_S), h->now_ns);
    assert_in_range(budget_left(&h->b, h->now_ns), 3000, 3100);
    assert_in_range(pace(h, LANE_URGENT), 27700000, 27777777);
    assert_in_range(budget_available(&h->b, LANE_BULK, h->now_ns), 2400, 2600);
}

/* An urgent purge finds units also while bulk sends all that it may. */
static void a_burst_of_bulk_leaves_urgent_purges_their_budget(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = limits_of(SHORT_UNITS, SHORT_NS);

    begin(h, &limits, 4);
    for (uint64_t s = 0; s < 2 * 360; s++) {
        spend(h, budget_available(&h->b, LANE_BULK, h->now_ns), 0);
        assert_true(budget_available(&h->b, LANE_URGENT, h->now_ns) >= 40);
        h->now_ns += NS_PER_S;
    }
}

static void urgent_purges_cannot_spend_what_the_rest_of_the_hour_needs(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = limits_of(SHORT_UNITS, SHORT_NS);

    begin(h, &limits, 5);
    for (uint64_t s = 0; s < 360; s++) {
        spend(h, budget_available(&h->b, LANE_URGENT, h->now_ns), 0);
        nobody_waits_too_long(h);
        h->now_ns += NS_PER_S;
    }
}

static void a_429_halves_the_burst_for_a_window_and_then_it_grows_back(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = fastly_hour();

    begin(h, &limits, 6);
    assert_true(budget_learn(&h->b, h->now_ns));
    assert_int_equal(budget_burst(&h->b, h->now_ns), 25250);
    assert_int_equal(budget_available(&h->b, LANE_URGENT, h->now_ns), 25250);
    assert_int_equal(budget_burst(&h->b, h->now_ns + HOUR_NS), 25250);
    assert_int_equal(budget_burst(&h->b, h->now_ns + HOUR_NS * 3 / 2), 37875);
    assert_int_equal(budget_burst(&h->b, h->now_ns + 2 * HOUR_NS), 50500);
    assert_int_equal(budget_available(&h->b, LANE_URGENT, h->now_ns + 4 * HOUR_NS), 50500);
    for (int i = 0; i < 40; i++)
        assert_true(budget_learn(&h->b, h->now_ns));
    assert_int_equal(budget_burst(&h->b, h->now_ns), 28); /* a second's worth */
    assert_true(budget_available(&h->b, LANE_BULK, h->now_ns) > 0);
}

/* The predecessor may have learnt it before this machine's clock began. */
static void what_a_predecessor_learnt_ends_at_the_same_time(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = fastly_hour();
    uint64_t age_ns;

    begin(h, &limits, 8);
    h->now_ns = HOUR_NS / 4;
    budget_init(&h->b, &limits, h->now_ns);
    assert_false(budget_learnt_age(&h->b, h->now_ns, &age_ns));
    budget_restore_learnt(&h->b, (struct budget_learnt){0});
    assert_int_equal(budget_burst(&h->b, h->now_ns), 50500);
    budget_restore_learnt(&h->b, (struct budget_learnt){25250, 31000, h->now_ns - HOUR_NS / 2});
    assert_true(budget_learnt_age(&h->b, h->now_ns, &age_ns));
    assert_int_equal(age_ns, HOUR_NS / 2);
    assert_int_equal(budget_burst(&h->b, h->now_ns + HOUR_NS / 2), 25250);
    assert_int_equal(budget_burst(&h->b, h->now_ns + HOUR_NS), 37875);
    assert_false(budget_learnt_age(&h->b, h->now_ns + 3 * HOUR_NS / 2, &age_ns));
    /* what is older does not replace it */
    budget_restore_learnt(&h->b, (struct budget_learnt){1000, 1, h->now_ns - HOUR_NS});
    assert_int_equal(budget_burst(&h->b, h->now_ns), 25250);
}

/* The wall was reached: it says nothing about bursts. */
static void a_429_when_our_count_is_full_teaches_nothing(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = fastly_hour();

    begin(h, &limits, 7);
    budget_restore_spent(&h->b, 99600, 0, h->now_ns);
    assert_false(budget_learn(&h->b, h->now_ns));
    assert_int_equal(budget_burst(&h->b, h->now_ns), 50500);
}

/* -- properties ------------------------------------------------------------------------------ */

static struct budget_limits any_limits(struct rng *rng)
{
    struct budget_limits l = limits_of(1 + rng_below(rng, UINT64_C(1) << rng_below(rng, 20)),
                                       NS_PER_S + rng_below(rng, HOUR_NS));

    if (rng_below(rng, 2))
        l.burst = 1 + rng_below(rng, l.units);
    if (rng_below(rng, 4) == 0)
        l.headroom = rng_below(rng, l.units);
    for (int lane = 0; lane < LANE_N && rng_below(rng, 2); lane++)
        l.leaves[lane] = (uint8_t)rng_below(rng, 101);
    return l;
}

static void any_step(struct history *h)
{
    enum lane lane = (enum lane)rng_below(&h->rng, LANE_N);
    uint64_t can = budget_available(&h->b, lane, h->now_ns);
    uint64_t window_ns = h->b.limits.window_ns, dice = rng_below(&h->rng, 100);

    spend(h, dice < 60 ? can : rng_below(&h->rng, can + 1), rng_below(&h->rng, window_ns / 100));
    if (dice < 50)
        h->now_ns += rng_below(&h->rng, window_ns / 1000);
    else
        h->now_ns += rng_below(&h->rng, dice < 97 ? window_ns / 20 : window_ns * 2);
    if (rng_below(&h->rng, 40) == 0)
        restart(h);
    if (rng_below(&h->rng, 40) == 0)
        budget_learn(&h->b, h->now_ns);
}

static void no_window_of_10000_histories_holds_more_than_the_budget(void **state)
{
    struct history *h = *state;
    uint64_t total = 0;

    for (uint64_t seed = 0; seed < 10000; seed++) {
        struct rng rng = {seed};
        struct budget_limits limits = any_limits(&rng);

        begin(h, &limits, seed);
        for (int i = 0; i < 60; i++)
            any_step(h);
        assert_true(h->worst <= limits.units - limits.headroom);
        total += h->total > limits.units;
    }
    assert_true(total > 3000); /* of them spent more than one window holds */
}

/* For a while, lanes send all that they may or a part of it. */
static void any_phase(struct history *h)
{
    uint64_t end_ns = h->now_ns + rng_below(&h->rng, SHORT_NS / 2);
    uint64_t percent[LANE_N];

    for (int lane = 0; lane < LANE_N; lane++)
        percent[lane] = rng_below(&h->rng, 2) ? 100 * rng_below(&h->rng, 2)
                                              : rng_below(&h->rng, rng_below(&h->rng, 101) + 1);
    while (h->now_ns < end_ns) {
        for (int lane = 0; lane < LANE_N; lane++)
            spend(h, budget_available(&h->b, (enum lane)lane, h->now_ns) * percent[lane] / 100, 0);
        if (rng_below(&h->rng, 10) == 0)
            nobody_waits_too_long(h);
        h->now_ns += NS_PER_S / 2 + rng_below(&h->rng, NS_PER_S);
    }
}

static void in_no_history_a_lane_waits_for_long(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = limits_of(SHORT_UNITS, SHORT_NS);

    for (uint64_t seed = 0; seed < 30; seed++) {
        begin(h, &limits, seed);
        for (int i = 0; i < 8; i++) {
            any_phase(h);
            nobody_waits_too_long(h);
            if (rng_below(&h->rng, 4) == 0)
                restart(h);
        }
        assert_true(h->worst <= limits.units);
    }
}

/* A backlog in one lane, bursts of urgent purges, restarts. */
static void a_backlog_uses_the_whole_budget_whatever_happened_before(void **state)
{
    struct history *h = *state;
    struct budget_limits limits = limits_of(SHORT_UNITS, SHORT_NS);

    for (uint64_t seed = 0; seed < 6; seed++) {
        enum lane lane = (enum lane)(seed % LANE_N);

        begin(h, &limits, seed);
        while (h->now_ns < h->began_ns + 4 * SHORT_NS) {
            if (rng_below(&h->rng, 200) == 0)
                spend(h, rng_below(&h->rng, budget_available(&h->b, LANE_URGENT, h->now_ns) + 1),
                      50 * NS_PER_MS);
            if (rng_below(&h->rng, 300) == 0)
                restart(h);
            spend(h, budget_available(&h->b, lane, h->now_ns), 50 * NS_PER_MS);
            h->now_ns = max_u64(h->now_ns + NS_PER_S, budget_when(&h->b, lane, 1, h->now_ns));
        }
        assert_true(h->worst <= limits.units);
        assert_true(h->total >= 4 * SHORT_UNITS * UINT64_C(99) / 100);
    }
}

static int setup(void **state)
{
    *state = alloc_zeroed(1, sizeof(struct history));
    return 0;
}

static int teardown(void **state)
{
    struct history *h = *state;

    budget_deinit(&h->b);
    free(h);
    return 0;
}

#define T(f) cmocka_unit_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(of_an_idle_hour_each_lane_may_send_its_part_at_once),
        T(a_burst_is_paid_for_by_the_pace_until_it_has_left_the_window),
        T(the_pace_counts_on_what_leaves_the_window),
        T(a_burst_of_bulk_leaves_urgent_purges_their_budget),
        T(urgent_purges_cannot_spend_what_the_rest_of_the_hour_needs),
        T(a_429_halves_the_burst_for_a_window_and_then_it_grows_back),
        T(what_a_predecessor_learnt_ends_at_the_same_time),
        T(a_429_when_our_count_is_full_teaches_nothing),
        T(no_window_of_10000_histories_holds_more_than_the_budget),
        T(in_no_history_a_lane_waits_for_long),
        T(a_backlog_uses_the_whole_budget_whatever_happened_before),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
