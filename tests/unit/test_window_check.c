/* SPDX-License-Identifier: MIT
 * Targets whose pages are looked at after their purges. */
#include "verify_page.h"
#include "window_world.h"

static struct pending *purged(struct world *w)
{
    struct batch *b = pick(w);
    struct pending *t = batch_pop(b);

    batch_free(b);
    window_check(&w->window, t, on_end, w);
    return t;
}

static void ask(struct world *w, const char *targets)
{
    w->verify = true;
    push(w, targets);
    w->verify = false;
}

static void only_jobs_that_ask_wait_for_the_look(void **state)
{
    struct world *w = world_new(100);
    struct pending *t;

    (void)state;
    ask(w, "url:a.example/1");
    push(w, "url:a.example/1");
    ask(w, "url:a.example/1");
    push(w, "url:a.example/1");
    assert_true(window_verifies(&w->window));
    t = purged(w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 2);
    assert_true(window_verifies_target(&w->window, t));
    window_checked(&w->window, t, VERIFY_FRESH, 0, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 4);
    assert_false(window_verifies(&w->window));
    assert_int_equal(window_held(&w->window), 0);
    world_free(w);
}

static void a_job_ends_with_the_worst_result_of_its_pages(void **state)
{
    struct world *w = world_new(100);
    struct pending *t[3];

    (void)state;
    ask(w, "url:a.example/1 url:a.example/2 url:a.example/3");
    for (size_t i = 0; i < 3; i++)
        t[i] = purged(w);
    window_checked(&w->window, t[0], VERIFY_FRESH, 1, on_end, w);
    window_checked(&w->window, t[1], VERIFY_STALE, 4, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 0);
    window_checked(&w->window, t[2], VERIFY_UNKNOWN, 0, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    assert_int_equal(w->last.verified, VERIFY_STALE);
    assert_int_equal(w->last.repairs, 4);
    world_free(w);
}

static void a_stale_page_is_purged_again_for_the_same_jobs(void **state)
{
    struct world *w = world_new(100);
    struct pending *t;

    (void)state;
    w->verify = true;
    push_as(w, (struct push){.expires_ms = 1}, "url:a.example/1");
    w->verify = false;
    t = purged(w);
    assert_false(window_has_twin(&w->window, t));
    window_check_again(&w->window, t);
    push_as(w, (struct push){.expires_ms = 5}, "url:a.example/1"); /* merged with it */
    assert_int_equal(window_held(&w->window), 1);
    t = purged(w);
    assert_int_equal(pending_expires_ms(t), 0); /* what was purged once does not expire */
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    window_checked(&w->window, t, VERIFY_FRESH, 1, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 2);
    world_free(w);
}

static void a_newer_push_of_the_page_takes_over_the_jobs_S34(void **state)
{
    struct world *w = world_new(100);
    struct pending *older, *newer;

    (void)state;
    ask(w, "url:a.example/1");
    older = purged(w);
    push(w, "url:a.example/1");
    assert_true(window_has_twin(&w->window, older));
    window_check_again(&w->window, older);
    assert_int_equal(window_held(&w->window), 1);
    older = purged(w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    ask(w, "url:a.example/1");
    newer = purged(w);
    window_check_joins(&w->window, newer, older);
    assert_int_equal(window_held(&w->window), 1);
    window_checked(&w->window, newer, VERIFY_FRESH, 0, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    world_free(w);
}

/* Nobody waits for a page that was looked at unasked. */
static void cancelling_another_job_does_not_stop_a_repair(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;
    uint32_t id;

    (void)state;
    push(w, "url:a.example/1");
    window_check_again(&w->window, purged(w));
    id = push(w, "url:a.example/2");
    window_cancel(&w->window, &(struct window_name){LANE_NORMAL, id, 0}, 1, on_end, w);
    assert_int_equal(w->ended[OUTCOME_CANCELLED], 1);
    b = pick(w);
    assert_non_null(b);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    assert_null(pick(w));
    assert_int_equal(window_held(&w->window), 0);
    world_free(w);
}

static void the_newest_job_is_known(void **state)
{
    struct world *w = world_new(100);
    struct window_job job;
    struct pending *t;
    uint32_t id;

    (void)state;
    ask(w, "url:a.example/1");
    ask(w, "url:a.example/1 url:a.example/2");
    id = w->next_id;
    t = purged(w);
    assert_true(window_newest_job(&w->window, t, &job));
    assert_int_equal(job.id_ms, id);
    window_checked(&w->window, t, VERIFY_FRESH, 0, on_end, w);
    finish(w, pick(w), OUTCOME_PURGED);
    push(w, "url:a.example/1");
    t = purged(w);
    assert_false(window_newest_job(&w->window, t, &job));
    window_forget_checked(&w->window, t);
    world_free(w);
}

static void a_job_that_names_a_page_is_kept_and_repeated(void **state)
{
    static const struct verify_page page = {.url = "https://a.example/1"};
    struct world *w = world_new(100);
    struct job_target targets[] = {{TARGET_KEY, 0, SPAN("a")}, {TARGET_KEY, 0, SPAN("b")}};
    const struct job_spec spec = {.targets = targets, .targets_count = 2};
    struct window_add how = {.lane = LANE_NORMAL};
    struct batch *b;

    (void)state;
    w->keeps = true;
    w->page = &page;
    how.id_ms = push(w, "a b");
    w->page = NULL;
    push(w, "b");
    finish(w, pick(w), OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    assert_int_equal(window_jobs(&w->window), 1);
    assert_int_equal(window_held(&w->window), 0);
    push(w, "b");
    window_repeat(&w->window, w->kept, &spec, &how);
    assert_int_equal(window_held(&w->window), 2); /* b is merged */
    b = pick(w);
    assert_int_equal(b->count, 2);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 2);
    w->keeps = false;
    window_end_kept(&w->window, w->kept, VERIFY_STALE, 1, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    assert_int_equal(w->last.id_ms, how.id_ms);
    assert_int_equal(w->last.verified, VERIFY_STALE);
    assert_int_equal(w->last.repairs, 1);
    assert_int_equal(window_jobs(&w->window), 0);
    world_free(w);
}

/* A look that is taken unasked at a URL of such a job does not end it. */
static void a_look_at_a_target_leaves_the_job_that_names_a_page(void **state)
{
    static const struct verify_page page = {.url = "https://a.example/2"};
    struct world *w = world_new(100);
    struct pending *t;

    (void)state;
    w->keeps = true;
    w->page = &page;
    push(w, "url:a.example/1");
    t = purged(w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 0);
    window_checked(&w->window, t, VERIFY_FRESH, 0, on_end, w);
    assert_int_equal(window_jobs(&w->window), 1);
    w->keeps = false;
    window_end_kept(&w->window, w->kept, VERIFY_UNKNOWN, 0, on_end, w);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    assert_int_equal(w->last.verified, VERIFY_UNKNOWN);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_jobs_that_ask_wait_for_the_look),
        cmocka_unit_test(a_job_ends_with_the_worst_result_of_its_pages),
        cmocka_unit_test(a_stale_page_is_purged_again_for_the_same_jobs),
        cmocka_unit_test(a_newer_push_of_the_page_takes_over_the_jobs_S34),
        cmocka_unit_test(cancelling_another_job_does_not_stop_a_repair),
        cmocka_unit_test(the_newest_job_is_known),
        cmocka_unit_test(a_job_that_names_a_page_is_kept_and_repeated),
        cmocka_unit_test(a_look_at_a_target_leaves_the_job_that_names_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
