/* SPDX-License-Identifier: MIT
 * The leader finds the targets of a job wherever they are, in a limited number of steps. */
#include "job_view.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "dispatch_internal.h"

#define WALL_MS UINT64_C(1700000000000)

struct world {
    struct config_account account;
    struct dispatch d;
    struct now now;
    struct job_target targets[100];
    char names[100][8];
    uint32_t next_id;
    struct job_view view;
};

static void on_ledger(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct dispatch *d = &w->d;

    config_account_init(&w->account);
    assert_int_equal(config_services_add(&w->account, SPAN("S1"), SPAN("news")), 0);
    free(w->account.name);
    w->account.name = alloc_str("main");
    w->account.budget.purges = 100;
    w->now = (struct now){.mono_ns = 1000 * NS_PER_S, .wall_ms = WALL_MS};
    d->account = &w->account;
    d->state = DISPATCH_LEADING;
    d->lease_until_ns = NEVER;
    list_init(&d->requests);
    heap_init(&d->parked);
    pace_init(&d->pace, &w->account, 100000);
    d->ledgers = ledger_new(&w->account, NULL, &d->pace.grant, w->now.mono_ns, on_ledger, d);
    for (int i = 0; i < 100; i++) {
        snprintf(w->names[i], sizeof(w->names[i]), "k%d", i);
        w->targets[i] = (struct job_target){TARGET_KEY, 0, span_str(w->names[i])};
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct config c = {.accounts = alloc_bytes(sizeof(w->account)), .accounts_count = 1};

    send_forget_waiting(&w->d);
    assert_int_equal(reasons_bytes(&w->d.reasons), 0);
    pace_deinit(&w->d.pace);
    heap_deinit(&w->d.parked);
    ledger_free(w->d.ledgers);
    c.accounts[0] = w->account;
    config_deinit(&c);
    free(w);
    return 0;
}

/* A job for `count` of the keys, from k<from> on. */
static uint32_t push(struct world *w, uint32_t from, uint32_t count)
{
    struct job_spec spec = {.targets = &w->targets[from], .targets_count = count};

    window_add(&w->d.pace.window, &spec,
               &(struct window_add){.lane = LANE_NORMAL,
                                    .id_ms = ++w->next_id,
                                    .plain = true,
                                    .now_ns = w->now.mono_ns - NS_PER_S});
    return w->next_id;
}

static const struct job_view *view(struct world *w, uint32_t id, uint32_t from, uint32_t count)
{
    struct dispatch *all[] = {&w->d};
    struct job_view_ask ask = {.account = "main",
                               .settings = &w->account,
                               .job = {LANE_NORMAL, id, 0},
                               .targets = &w->targets[from],
                               .targets_count = count};

    job_view_ask(all, 1, &ask, w->now, &w->view);
    return &w->view;
}

static struct batch *take(struct world *w)
{
    struct list expired;
    uint64_t next = NEVER;
    struct batch *b;

    pace_grant(&w->d.pace, LEDGER_PURGE, 1);
    b = pace_pick(&w->d.pace, w->now, &expired, &next);
    assert_non_null(b);
    return b;
}

static void only_the_instance_that_leads_looks(void **state)
{
    struct world *w = *state;

    w->d.state = DISPATCH_STANDBY;
    snprintf(w->d.holder, sizeof(w->d.holder), "the-other");
    assert_int_equal(view(w, 1, 0, 1)->role, JOB_VIEW_ELSEWHERE);
    assert_string_equal(w->view.leader, "the-other");
    w->d.state = DISPATCH_DRAINING;
    assert_int_equal(view(w, 1, 0, 1)->role, JOB_VIEW_SOON);
}

static void targets_decoded_with_other_settings_are_not_looked_up(void **state)
{
    struct world *w = *state;
    struct dispatch *all[] = {&w->d};
    struct config_account newer = w->account;

    job_view_ask(
        all, 1,
        &(struct job_view_ask){
            .account = "main", .settings = &newer, .targets = w->targets, .targets_count = 1},
        w->now, &w->view);
    assert_int_equal(w->view.role, JOB_VIEW_SOON);
}

static void at_most_twenty_targets_are_shown_and_all_are_counted(void **state)
{
    struct world *w = *state;
    uint32_t id = push(w, 0, 60);

    push(w, 50, 10);
    view(w, id, 0, 60);
    assert_true(w->view.found);
    assert_int_equal(w->view.counts[JOB_VIEW_WAITING], 60);
    assert_int_equal(w->view.shown_count, JOB_VIEW_SHOWN);
    assert_int_equal(w->view.shared, 10);
    assert_int_equal(w->view.shown[7].number, 7);
    assert_int_equal(w->view.shown[7].before, 7);
}

/* The pace of 1,000 purges an hour is one in 3.6 seconds. */
static void a_target_waits_for_budget_about_as_long_as_the_pace_says(void **state)
{
    struct world *w = *state;
    const struct job_view_target *last = &w->view.shown[JOB_VIEW_SHOWN - 1];
    uint32_t id = push(w, 0, 60);

    w->account.budget = (struct config_budget){
        .purges = 1000, .per_s = 3600, .burst = 5, .batch_cost = BATCH_COST_KEY};
    ledger_configure(w->d.ledgers, &w->account, w->now.mono_ns);
    view(w, id, 0, 60);
    assert_int_equal(w->view.shown[0].why, JOB_VIEW_TURN);
    assert_int_equal(last->why, JOB_VIEW_BUDGET);
    assert_int_equal(last->before, JOB_VIEW_SHOWN - 1);
    assert_in_range(last->until_ms, WALL_MS + 15 * 3600, WALL_MS + 20 * 3600);
    pace_grant(&w->d.pace, LEDGER_PURGE, 100);
    view(w, id, 0, 60);
    assert_int_equal(last->why, JOB_VIEW_TURN);
    pace_take_back(&w->d.pace, LEDGER_PURGE, 100);
}

static void obstacles_of_the_account_come_first(void **state)
{
    struct world *w = *state;
    uint32_t id = push(w, 0, 1);

    lanes_pause_service(&w->d.pace.lanes, 0, w->now.mono_ns + 3 * NS_PER_S);
    assert_int_equal(view(w, id, 0, 1)->shown[0].why, JOB_VIEW_SERVICE);
    assert_int_equal(w->view.shown[0].until_ms, WALL_MS + 3000);
    brake_hold(&w->d.pace.brake, BRAKE_THROTTLE, 0, 2000, w->now.mono_ns);
    assert_int_equal(view(w, id, 0, 1)->shown[0].why, JOB_VIEW_HELD);
    assert_int_equal(w->view.shown[0].until_ms, WALL_MS + 2000);
    assert_string_equal(w->view.held_why, "throttled");
    w->d.paused = true;
    snprintf(w->d.paused_why, sizeof(w->d.paused_why), "a migration");
    assert_int_equal(view(w, id, 0, 1)->shown[0].why, JOB_VIEW_PAUSED);
    assert_string_equal(w->view.paused_why, "a migration");
}

static void what_is_tried_again_says_the_answer_and_the_next_try(void **state)
{
    struct world *w = *state;
    uint32_t id = push(w, 0, 1);
    struct batch *b = take(w);
    struct list targets;

    list_init(&targets);
    list_splice_back(&targets, &b->targets);
    pending_tried(pending_of(targets.next));
    b->count = 0;
    b->status = 502;
    send_park(&w->d, &targets, b, "502: bad gateway", w->now.mono_ns + 4 * NS_PER_S);
    batch_free(b);
    view(w, id, 0, 1);
    assert_int_equal(w->view.counts[JOB_VIEW_RETRY], 1);
    assert_int_equal(w->view.shown[0].status, 502);
    assert_string_equal(w->view.shown[0].reason, "502: bad gateway");
    assert_int_equal(w->view.shown[0].tries, 1);
    assert_int_equal(w->view.shown[0].at_ms, WALL_MS + 4000);
}

static void on_end(void *ctx, const struct window_job *job)
{
    (void)ctx;
    assert_true(job->open > 0);
}

/* One target of the job was purged; the others are halves that are sent again. */
static void what_is_nowhere_is_done_and_halves_are_on_their_way(void **state)
{
    struct world *w = *state;
    uint32_t id = push(w, 0, 3), later;
    struct batch *b;

    pace_grant(&w->d.pace, LEDGER_PURGE, 10);
    b = take(w);
    assert_int_equal(b->count, 3);
    window_settle(&w->d.pace.window, batch_pop(b), OUTCOME_PURGED, on_end, w);
    lanes_add_suspect(&w->d.pace.lanes, batch_split(b));
    later = push(w, 0, 3);
    lanes_add_suspect(&w->d.pace.lanes, b);
    view(w, id, 0, 3);
    assert_int_equal(w->view.counts[JOB_VIEW_SENT], 2);
    assert_int_equal(w->view.counts[JOB_VIEW_DONE], 1);
    assert_int_equal(w->view.shown_count, 2);
    view(w, later, 0, 3);
    assert_int_equal(w->view.counts[JOB_VIEW_WAITING], 3);
    assert_int_equal(w->view.shared, 0);
}

static void a_job_among_too_many_is_not_said_to_be_done(void **state)
{
    struct world *w = *state;
    uint32_t oldest = push(w, 0, 2), newest = 0;

    for (uint32_t i = 0; i < JOB_VIEW_STEPS; i++)
        newest = push(w, 1, 1);
    view(w, oldest, 0, 2);
    assert_true(w->view.found);
    assert_int_equal(w->view.counts[JOB_VIEW_WAITING], 1);
    assert_int_equal(w->view.counts[JOB_VIEW_UNKNOWN], 1);
    assert_int_equal(w->view.counts[JOB_VIEW_DONE], 0);
    assert_int_equal(view(w, newest, 1, 1)->counts[JOB_VIEW_WAITING], 1);
    assert_true(w->view.shown[0].others_more);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(only_the_instance_that_leads_looks),
        test(targets_decoded_with_other_settings_are_not_looked_up),
        test(at_most_twenty_targets_are_shown_and_all_are_counted),
        test(a_target_waits_for_budget_about_as_long_as_the_pace_says),
        test(obstacles_of_the_account_come_first),
        test(what_is_tried_again_says_the_answer_and_the_next_try),
        test(what_is_nowhere_is_done_and_halves_are_on_their_way),
        test(a_job_among_too_many_is_not_said_to_be_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
