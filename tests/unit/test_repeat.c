/* SPDX-License-Identifier: MIT
 * How long `repeat_after: auto` waits, from pages that were stale, one by one; then per service. */
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "job.h"
#include "repeat.h"
#include "repeats.h"

static void see(struct repeat_seen *s, uint32_t times, uint64_t ms)
{
    while (times-- > 0)
        repeat_add(s, ms);
}

static void nothing_is_learnt_from_few_pages(void **state)
{
    struct repeat_seen s = {0};

    (void)state;
    see(&s, REPEAT_ENOUGH - 1, 7000);
    assert_int_equal(s.learnt_ms, 0);
    see(&s, 1, 7000);
    assert_int_equal(s.learnt_ms, 7000);
}

static void ninety_nine_of_a_hundred_are_covered(void **state)
{
    struct repeat_seen s = {0};

    (void)state;
    see(&s, 1, 60000);
    see(&s, 1, 9000);
    see(&s, 98, 3000);
    assert_int_equal(s.learnt_ms, 9000);
    see(&s, 100, 3000);
    assert_int_equal(s.learnt_ms, 3000);
    see(&s, 3, 8000);
    assert_int_equal(s.learnt_ms, 8000);
}

static void what_is_learnt_has_limits(void **state)
{
    struct repeat_seen s = {0};

    (void)state;
    see(&s, 50, 0);
    assert_int_equal(s.learnt_ms, REPEAT_LEAST_MS);
    see(&s, 50, UINT64_MAX);
    assert_int_equal(s.learnt_ms, REPEAT_MOST_MS);
}

static void only_the_newest_pages_are_remembered(void **state)
{
    struct repeat_seen s = {0};

    (void)state;
    see(&s, 1000, 300000);
    see(&s, REPEAT_REMEMBERED - 2, 5000);
    assert_int_equal(s.learnt_ms, 5000);
    see(&s, REPEAT_REMEMBERED, 2500);
    assert_int_equal(s.learnt_ms, 2500);
}

static char none[] = "", one[] = "S1", two[] = "S2", three[] = "S3";

static void see_service(struct repeats *r, uint16_t service, uint64_t ms)
{
    for (uint32_t i = 0; i < REPEAT_ENOUGH; i++)
        repeats_saw(r, service, ms * NS_PER_MS);
}

static void each_service_learns_for_itself_and_others_from_all(void **state)
{
    struct config_service services[] = {{.id = one, .name = one}, {.id = two, .name = none}};
    const struct config_account a = {.services = services, .services_count = 2};
    struct repeats *r = repeats_new(&a);

    (void)state;
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_SOME), REPEAT_DEFAULT_MS);
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_ALL), REPEAT_ALL_MS);
    see_service(r, 1, 4000);
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_SOME), 4000);
    see_service(r, 0, 130000);
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_SOME), 130000);
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_ALL), 130000);
    assert_int_equal(repeats_after_ms(r, 1, REPEATS_SOME), 4000);
    assert_int_equal(repeats_after_ms(r, 1, REPEATS_ALL), REPEAT_ALL_MS);
    assert_int_equal(repeats_after_ms(r, SERVICE_NONE, REPEATS_SOME), 130000);
    repeats_free(r);
}

static void a_reload_keeps_what_is_known_of_a_service(void **state)
{
    struct config_service before[] = {{.id = one, .name = none}, {.id = two, .name = none}};
    struct config_service after[] = {{.id = three, .name = none}, {.id = one, .name = none}};
    struct repeats *r =
        repeats_new(&(struct config_account){.services = before, .services_count = 2});

    (void)state;
    see_service(r, 1, 9000);
    see_service(r, 0, 5000);
    repeats_configure(r, &(struct config_account){.services = after, .services_count = 2});
    assert_int_equal(repeats_after_ms(r, 1, REPEATS_SOME), 5000);
    assert_int_equal(repeats_after_ms(r, 0, REPEATS_SOME), 9000); /* from all */
    repeats_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_learnt_from_few_pages),
        cmocka_unit_test(ninety_nine_of_a_hundred_are_covered),
        cmocka_unit_test(what_is_learnt_has_limits),
        cmocka_unit_test(only_the_newest_pages_are_remembered),
        cmocka_unit_test(each_service_learns_for_itself_and_others_from_all),
        cmocka_unit_test(a_reload_keeps_what_is_known_of_a_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
