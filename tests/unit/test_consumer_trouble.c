/* SPDX-License-Identifier: MIT
 * What is said about trouble: once, and not about what is over at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "clock.h"
#include "consumer_trouble.h"

#define AWAY(reason, s) consumer_trouble_goes_on(&t, reason, (s)*NS_PER_S)

static void trouble_at_the_start_is_said_at_once(void **state)
{
    struct consumer_trouble t = {0};

    (void)state;
    assert_true(AWAY("refused", 1));
    assert_true(t.now);
    assert_false(AWAY("refused", 2));
}

static void what_is_over_at_the_next_attempt_is_no_trouble(void **state)
{
    struct consumer_trouble t = {0};

    (void)state;
    assert_false(consumer_trouble_ends(&t));
    assert_false(AWAY("lost", 1));
    assert_false(t.now);
    assert_false(consumer_trouble_ends(&t));
    assert_false(AWAY("lost", 2));
    assert_true(AWAY("refused", 3));
    assert_string_equal(t.why.text, "refused");
    assert_true(consumer_trouble_ends(&t));
    assert_false(consumer_trouble_ends(&t));
}

static void what_is_no_connection_is_said_at_once(void **state)
{
    struct consumer_trouble t = {0};

    (void)state;
    assert_false(consumer_trouble_ends(&t));
    assert_true(consumer_trouble_begins(&t, "", NS_PER_S));
    assert_false(consumer_trouble_begins(&t, "", 2 * NS_PER_S));
}

static void another_reason_is_said_only_when_it_lasts(void **state)
{
    struct consumer_trouble t = {0};

    (void)state;
    assert_true(AWAY("refused", 1));
    assert_false(AWAY("starting", 60));
    assert_false(AWAY("starting", 60 + CONSUMER_TROUBLE_LASTS_S - 1));
    assert_false(AWAY("refused", 100)); /* from here on, it does not last */
    assert_false(AWAY("password", 200));
    assert_false(AWAY("password", 200 + CONSUMER_TROUBLE_LASTS_S - 1));
    assert_true(AWAY("password", 200 + CONSUMER_TROUBLE_LASTS_S));
    assert_false(AWAY("password", 300));
    assert_false(AWAY("refused", 301));
    assert_true(AWAY("refused", 301 + CONSUMER_TROUBLE_LASTS_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trouble_at_the_start_is_said_at_once),
        cmocka_unit_test(what_is_over_at_the_next_attempt_is_no_trouble),
        cmocka_unit_test(what_is_no_connection_is_said_at_once),
        cmocka_unit_test(another_reason_is_said_only_when_it_lasts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
