/* SPDX-License-Identifier: MIT
 * What a job waits for is found along the chains of its targets, in a limited number of steps. */
#include "window_look.h"
#include "window_world.h"

static const struct pending *key(const struct world *w, const char *name)
{
    struct job_target t = {TARGET_KEY, 0, span_str(name)};

    return window_look_up(&w->window, target_hash(t.kind, t.service, t.bytes), &t);
}

static struct window_wait look(const struct world *w, const char *name, uint32_t id, uint32_t steps)
{
    return window_look_wait(&w->window, key(w, name), &(struct window_name){LANE_NORMAL, id, 0},
                            &steps);
}

static void a_job_is_told_from_the_others_that_wait_for_the_same(void **state)
{
    struct world *w = world_new(100);
    uint32_t first = push(w, "a"), second = push(w, "a b");
    struct window_wait wait = look(w, "a", first, 10);

    (void)state;
    assert_true(wait.waits);
    assert_int_equal(wait.others, 1);
    assert_int_equal(wait.open, 1);
    wait = look(w, "a", second, 10);
    assert_true(wait.waits);
    assert_int_equal(wait.others, 1);
    assert_int_equal(wait.open, 2);
    assert_false(wait.more);
    assert_false(look(w, "b", first, 10).waits);
    assert_false(look(w, "b", first, 10).unsure);
    assert_null(key(w, "c"));
    world_free(w);
}

static void a_job_of_another_lane_with_the_same_id_is_another_job(void **state)
{
    struct world *w = world_new(100);
    uint32_t id = push_as(w, (struct push){.lane = LANE_BULK}, "a"), steps = 10;

    (void)state;
    assert_false(look(w, "a", id, 10).waits);
    assert_true(
        window_look_wait(&w->window, key(w, "a"), &(struct window_name){LANE_BULK, id, 0}, &steps)
            .waits);
    world_free(w);
}

static void a_long_chain_costs_no_more_steps_than_are_left(void **state)
{
    struct world *w = world_new(1000);
    uint32_t oldest = push(w, "a"), newest = 0, steps = 50;
    struct window_wait wait;

    (void)state;
    for (uint32_t i = 0; i < 500; i++)
        newest = push(w, "a");
    wait = window_look_wait(&w->window, key(w, "a"), &(struct window_name){LANE_NORMAL, oldest, 0},
                            &steps);
    assert_int_equal(steps, 0);
    assert_false(wait.waits);
    assert_true(wait.unsure);
    wait = look(w, "a", newest, 1000);
    assert_true(wait.waits);
    assert_int_equal(wait.others, WINDOW_LOOK_OTHERS_MAX);
    assert_true(wait.more);
    wait = look(w, "a", newest, 1);
    assert_true(wait.waits);
    assert_false(wait.unsure);
    assert_true(wait.more);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_told_from_the_others_that_wait_for_the_same),
        cmocka_unit_test(a_job_of_another_lane_with_the_same_id_is_another_job),
        cmocka_unit_test(a_long_chain_costs_no_more_steps_than_are_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
