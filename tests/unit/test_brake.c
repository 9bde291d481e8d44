/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "brake.h"
#include "retry.h"

#define MAX 64u

static void a_429_without_a_hint_waits_1_2_4_up_to_60_seconds(void **state)
{
    static const uint64_t expected_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct brake b;
    uint64_t now = 0;

    (void)state;
    brake_init(&b);
    for (size_t i = 0; i < array_len(expected_s); i++) {
        assert_true(brake_hold(&b, BRAKE_THROTTLE, b.epoch, 0, now));
        assert_int_equal(b.until_ns - now, expected_s[i] * NS_PER_S);
        assert_int_equal(brake_limit(&b, MAX, b.until_ns - 1), 0);
        assert_int_equal(brake_limit(&b, MAX, b.until_ns), 1);
        now = b.until_ns;
    }
}

static void a_hint_is_waited_for_exactly_and_an_absurd_one_is_cut_to_an_hour(void **state)
{
    struct brake b;

    (void)state;
    brake_init(&b);
    brake_hold(&b, BRAKE_THROTTLE, b.epoch, 7000, 0);
    assert_int_equal(b.until_ns, 7 * NS_PER_S);
    brake_hold(&b, BRAKE_THROTTLE, b.epoch, UINT64_C(86400000) * 365, 0);
    assert_int_equal(b.until_ns, 3600 * NS_PER_S);
    brake_hold(&b, BRAKE_THROTTLE, b.epoch, 0, 0); /* Neither call may double the next wait. */
    assert_int_equal(b.until_ns, NS_PER_S);
}

static void after_the_probe_it_grows_by_one_for_every_good_answer(void **state)
{
    struct brake b;

    (void)state;
    brake_init(&b);
    brake_hold(&b, BRAKE_THROTTLE, b.epoch, 1000, 0);
    assert_int_equal(brake_limit(&b, MAX, NS_PER_S), 1);
    for (uint32_t limit = 2; limit < MAX; limit++) {
        brake_good(&b, b.epoch, MAX);
        assert_int_equal(brake_limit(&b, MAX, NS_PER_S), limit);
    }
    brake_good(&b, b.epoch, MAX);
    assert_int_equal(b.state, BRAKE_FREE);
    assert_int_equal(b.tries, 0);
}

static void sixty_answers_of_one_429_storm_are_one_hold(void **state)
{
    struct brake b;
    uint32_t epoch;

    (void)state;
    brake_init(&b);
    epoch = b.epoch;
    assert_true(brake_hold(&b, BRAKE_THROTTLE, epoch, 0, 0));
    for (int i = 0; i < 59; i++)
        assert_false(brake_hold(&b, BRAKE_THROTTLE, epoch, 0, 1000));
    assert_int_equal(b.until_ns, NS_PER_S);
    assert_false(brake_hold(&b, BRAKE_THROTTLE, epoch, 5000, 0)); /* but a longer hint counts */
    assert_int_equal(b.until_ns, 5 * NS_PER_S);
}

static void an_answer_from_before_the_hold_is_no_successful_probe(void **state)
{
    struct brake b;
    uint32_t before;

    (void)state;
    brake_init(&b);
    before = b.epoch;
    brake_hold(&b, BRAKE_THROTTLE, before, 1000, 0);
    assert_int_equal(brake_limit(&b, MAX, NS_PER_S), 1);
    brake_good(&b, before, MAX);
    assert_int_equal(b.state, BRAKE_PROBING);
}

static void eight_failures_in_a_row_are_an_outage_and_seven_are_not(void **state)
{
    struct brake b;

    (void)state;
    brake_init(&b);
    for (uint32_t i = 1; i < BRAKE_OUTAGE_AFTER; i++)
        assert_false(brake_failure(&b, b.epoch, 0, 0));
    brake_good(&b, b.epoch, MAX);
    for (uint32_t i = 1; i < BRAKE_OUTAGE_AFTER; i++)
        assert_false(brake_failure(&b, b.epoch, 0, 0));
    assert_int_equal(brake_limit(&b, MAX, 0), MAX);
    assert_true(brake_failure(&b, b.epoch, 0, 0));
    assert_int_equal(brake_limit(&b, MAX, 0), 0);
    assert_int_equal(b.cause, BRAKE_OUTAGE);
}

/* A sender ignored Retry-After, and its jitter then undercut it:
 * https://github.com/svix/svix-webhooks/issues/2199 */
static void the_jitter_never_undercuts_what_the_server_asked_for_S40(void **state)
{
    struct rng dice = {1};

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t hint = rng_below(&dice, 5000);
        uint32_t attempt = 1 + (uint32_t)rng_below(&dice, 12);
        uint64_t delay = retry_delay_ms(attempt, hint, &dice);

        assert_true(delay >= hint);
        assert_true(delay <= hint + RETRY_MAX_MS);
    }
}

static void resuming_frees_at_once_and_old_answers_do_not_pull_it_again(void **state)
{
    struct brake b;
    uint32_t old;

    (void)state;
    brake_init(&b);
    old = b.epoch;
    brake_hold(&b, BRAKE_TOKEN, old, 0, 0);
    brake_release(&b);
    assert_int_equal(brake_limit(&b, MAX, 0), MAX);
    assert_false(brake_hold(&b, BRAKE_TOKEN, old, 0, 0));
    assert_int_equal(brake_limit(&b, MAX, 0), MAX);
}

/* Failed attempts in between must not change that time. */
static void it_knows_since_when_nothing_good_came(void **state)
{
    struct brake b;

    (void)state;
    brake_init(&b);
    assert_true(brake_hold(&b, BRAKE_TOKEN, b.epoch, 0, 5));
    assert_int_equal(brake_limit(&b, 8, NS_PER_S * 60), 1);
    assert_true(brake_hold(&b, BRAKE_TOKEN, b.epoch, 0, NS_PER_S * 61));
    assert_int_equal(b.since_ns, 5);
    assert_true(brake_hold(&b, BRAKE_OUTAGE, b.epoch, 0, NS_PER_S * 62));
    assert_int_equal(b.since_ns, NS_PER_S * 62);
    assert_int_equal(brake_limit(&b, 8, NS_PER_S * 300), 1);
    brake_good(&b, b.epoch, 8);
    assert_int_equal(b.since_ns, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_since_when_nothing_good_came),
        cmocka_unit_test(a_429_without_a_hint_waits_1_2_4_up_to_60_seconds),
        cmocka_unit_test(a_hint_is_waited_for_exactly_and_an_absurd_one_is_cut_to_an_hour),
        cmocka_unit_test(after_the_probe_it_grows_by_one_for_every_good_answer),
        cmocka_unit_test(sixty_answers_of_one_429_storm_are_one_hold),
        cmocka_unit_test(an_answer_from_before_the_hold_is_no_successful_probe),
        cmocka_unit_test(eight_failures_in_a_row_are_an_outage_and_seven_are_not),
        cmocka_unit_test(the_jitter_never_undercuts_what_the_server_asked_for_S40),
        cmocka_unit_test(resuming_frees_at_once_and_old_answers_do_not_pull_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
