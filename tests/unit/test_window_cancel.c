/* SPDX-License-Identifier: MIT */
#include "window_world.h"

#include <stdio.h>

static void cancel(struct world *w, uint32_t id)
{
    window_cancel(&w->window, &(struct window_name){LANE_NORMAL, id, 0}, 1, on_end, w);
}

static void what_waits_for_a_cancelled_job_alone_is_not_sent(void **state)
{
    struct world *w = world_new(100);

    (void)state;
    cancel(w, push(w, "a b c"));
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 1);
    assert_int_equal(w->window.held, 0);
    assert_null(pick(w));
    world_free(w);
}

static void what_others_wait_for_as_well_is_sent_for_them(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;
    uint32_t mistaken;

    (void)state;
    push(w, "shared");
    mistaken = push(w, "shared own");
    push(w, "shared");
    cancel(w, mistaken);
    b = pick(w);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 2);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 1);
    assert_null(pick(w));
    world_free(w);
}

static void a_target_on_the_wire_stays_and_its_job_ends_with_it(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;
    uint32_t id;

    (void)state;
    id = push(w, "a");
    b = pick(w);
    cancel(w, id);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 0);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    world_free(w);
}

static void a_job_partly_on_the_wire_ends_as_cancelled(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;
    uint32_t id;

    (void)state;
    id = push(w, "url:https://x/1 key");
    w->grant.units[LEDGER_PURGE] = 1;
    b = pick(w);
    cancel(w, id);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 0);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 1);
    assert_int_equal(w->window.held, 0);
    world_free(w);
}

static void the_same_id_in_another_lane_is_another_job(void **state)
{
    struct world *w = world_new(100);
    uint32_t id;

    (void)state;
    id = push(w, "a");
    window_cancel(&w->window, &(struct window_name){LANE_BULK, id, 0}, 1, on_end, w);
    window_cancel(&w->window, &(struct window_name){LANE_NORMAL, id, 1}, 1, on_end, w);
    window_cancel(&w->window, &(struct window_name){LANE_NORMAL, id + 1, 0}, 1, on_end, w);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 0);
    finish(w, pick(w), OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    world_free(w);
}

/* Removing an entry from the table moves others into its place. None of them may be skipped. */
static void half_of_many_are_cancelled_and_the_other_half_is_sent(void **state)
{
    struct world *w = world_new(100000);
    uint32_t ids[3000], sent_keys = 0;
    struct batch *b;
    char key[16];

    (void)state;
    for (size_t i = 0; i < array_len(ids); i++) {
        snprintf(key, sizeof(key), "k%zu", i);
        ids[i] = push(w, key);
    }
    for (size_t i = 0; i < array_len(ids); i += 100) {
        struct window_name names[50];

        for (size_t k = 0; k < 50; k++)
            names[k] = (struct window_name){LANE_NORMAL, ids[i + 2 * k], 0};
        window_cancel(&w->window, names, 50, on_end, w);
    }
    assert_int_equal(w->ended[OUTCOME_CANCELLED], array_len(ids) / 2);
    while ((b = pick(w))) {
        sent_keys += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_int_equal(sent_keys, array_len(ids) / 2);
    assert_int_equal(w->ended[OUTCOME_PURGED], array_len(ids) / 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_a_cancelled_job_alone_is_not_sent),
        cmocka_unit_test(what_others_wait_for_as_well_is_sent_for_them),
        cmocka_unit_test(a_target_on_the_wire_stays_and_its_job_ends_with_it),
        cmocka_unit_test(a_job_partly_on_the_wire_ends_as_cancelled),
        cmocka_unit_test(the_same_id_in_another_lane_is_another_job),
        cmocka_unit_test(half_of_many_are_cancelled_and_the_other_half_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
