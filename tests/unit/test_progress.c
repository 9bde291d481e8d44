/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "alloc.h"
#include "dispatch_internal.h"

#define MINUTE_NS (60 * NS_PER_S)

/* A leader with one urgent key to send, enough budget, and no reason to wait. */
struct world {
    struct config_account account;
    struct dispatch d;
    struct now now;
    struct pending *delayed;
    char why[160];
};

static void push(struct world *w)
{
    struct job_target target = {.kind = TARGET_KEY, .bytes = SPAN("a")};
    struct job_spec spec = {.targets = &target, .targets_count = 1};
    struct window_add how = {.lane = LANE_URGENT, .id_ms = 1, .now_ns = w->now.mono_ns};

    window_add(&w->d.pace.window, &spec, &how);
}

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct lanes_options o = {.services = 1, .batch_keys = 256, .batch_bytes = 16384};
    struct dispatch *d = &w->d;

    config_account_init(&w->account);
    w->now = (struct now){.mono_ns = 1000 * NS_PER_S, .wall_ms = 1};
    d->account = &w->account;
    d->state = DISPATCH_LEADING;
    d->queue_up = d->server_fit = true;
    d->lease_until_ns = NEVER;
    d->up_ns = d->lease_asked_ns = d->progress_ns = w->now.mono_ns;
    d->lateness.due_ns = NEVER;
    d->lateness.since_ns = w->now.mono_ns;
    brake_init(&d->pace.brake);
    lanes_init(&d->pace.lanes, &o);
    window_init(&d->pace.window, 100, &d->pace.lanes);
    d->intake =
        intake_new(&w->account, &(struct intake_parts){.window = &d->pace.window}, NULL, NULL);
    d->pace.funded[LEDGER_PURGE][LANE_URGENT] = true;
    push(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct config c = {.accounts = alloc_bytes(sizeof(w->account)), .accounts_count = 1};

    window_deinit(&w->d.pace.window);
    lanes_deinit(&w->d.pace.lanes);
    intake_free(w->d.intake);
    c.accounts[0] = w->account;
    config_deinit(&c);
    free(w);
    return 0;
}

/* Lets time pass as for a leader: every second a tick, and a renewal of the lease. */
static bool stalled_after(struct world *w, uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        w->now.mono_ns += NS_PER_S;
        w->d.lease_asked_ns = w->now.mono_ns;
        progress_begin(&w->d, w->now);
        progress_end(&w->d, w->now, w->now.mono_ns + NS_PER_S);
    }
    return dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why));
}

static void a_minute_with_something_to_send_and_nothing_sent_is_a_stall(void **state)
{
    struct world *w = *state;

    assert_false(stalled_after(w, 59));
    assert_true(stalled_after(w, 1));
    assert_string_equal(w->why, "purges could be sent, but no request began for 60 s");
}

static void an_answer_is_progress(void **state)
{
    struct world *w = *state;

    assert_false(stalled_after(w, 59));
    w->d.progress_ns = w->now.mono_ns;
    assert_false(stalled_after(w, 59));
    assert_true(stalled_after(w, 1));
}

/* The reasons to wait. With each of them, an hour without progress is not a stall, and this hour
 * does not count after the reason has ended. */

static void no_money(struct world *w, bool on)
{
    w->d.pace.funded[LEDGER_PURGE][LANE_URGENT] = !on;
}

static void paused(struct world *w, bool on)
{
    w->d.paused = on;
}

static void standby(struct world *w, bool on)
{
    w->d.state = on ? DISPATCH_STANDBY : DISPATCH_LEADING;
}

static void braked(struct world *w, bool on)
{
    w->d.pace.brake.state = on ? BRAKE_HELD : BRAKE_PROBING;
    w->d.pace.brake.until_ns = NEVER;
}

static void no_lease(struct world *w, bool on)
{
    w->d.lease_until_ns = on ? 0 : NEVER;
}

static void service_paused(struct world *w, bool on)
{
    lanes_pause_service(&w->d.pace.lanes, 0, on ? NEVER : 0);
}

static void lingering(struct world *w, bool on)
{
    w->d.pace.lanes.options.linger_ns[LANE_URGENT] = on ? NEVER : 0;
}

/* Like before a retry: the target waits outside of the lanes until it is due. */
static void delayed(struct world *w, bool on)
{
    if (on) {
        struct grant grant = {.units = {1, 1, 1}};
        uint64_t never = NEVER;
        struct batch *b = lanes_next(&w->d.pace.lanes, &grant, w->now.mono_ns, &never);

        w->delayed = batch_pop(b);
        batch_free(b);
        window_sent(&w->d.pace.window, w->delayed);
        w->delayed = window_delay(&w->d.pace.window, w->delayed);
    } else {
        window_due(&w->d.pace.window, w->delayed);
    }
}

static void redis_away(struct world *w, bool on)
{
    w->d.queue_up = !on;
}

static void waiting_that_has_a_reason_is_no_stall(void **state)
{
    static void (*const reasons[])(struct world * w, bool on) = {
        no_money,       paused,    standby, braked,    no_lease,
        service_paused, lingering, delayed, redis_away};
    struct world *w = *state;

    for (size_t i = 0; i < array_len(reasons); i++) {
        reasons[i](w, true);
        assert_false(stalled_after(w, 3600));
        reasons[i](w, false);
        assert_false(stalled_after(w, 59));
        assert_true(stalled_after(w, 1));
        w->d.progress_ns = w->now.mono_ns;
    }
}

static void nothing_to_send_is_no_stall(void **state)
{
    struct world *w = *state;

    delayed(w, true);
    assert_false(stalled_after(w, 3600));
    delayed(w, false);
}

static void a_suspect_that_waits_counts_unless_its_service_is_paused(void **state)
{
    struct world *w = *state;
    struct batch *b = batch_new(FORM_KEYS, 0, LANE_URGENT);

    delayed(w, true);
    lanes_add_suspect(&w->d.pace.lanes, b);
    service_paused(w, true);
    assert_false(stalled_after(w, 3600));
    service_paused(w, false);
    assert_false(stalled_after(w, 59));
    assert_true(stalled_after(w, 1));
    list_remove(&b->link);
    batch_free(b);
    delayed(w, false);
}

static void a_request_without_any_answer_is_a_stall_even_when_paused(void **state)
{
    struct world *w = *state;

    w->account.timeout_ms = 10000;
    w->d.pace.in_flight = 1;
    w->d.paused = true;
    assert_false(stalled_after(w, 69));
    assert_true(stalled_after(w, 1));
    assert_string_equal(w->why, "requests are on the wire, but none was answered for 70 s");
}

/* If the ticks stop, the renewals of the lease stop, too. */
static void a_loop_that_forgot_an_account_is_a_stall(void **state)
{
    struct world *w = *state;

    w->d.state = DISPATCH_STANDBY;
    w->now.mono_ns += MINUTE_NS - 1;
    assert_false(dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why)));
    w->now.mono_ns++;
    assert_true(dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why)));
    assert_string_equal(w->why, "Redis is connected, but nothing was heard of it for 60 s");
    w->d.queue_up = false;
    assert_false(dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why)));
    w->d.queue_up = true;
    w->d.up_ns = w->now.mono_ns; /* the connection was restored just now */
    assert_false(dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why)));
}

static void a_redis_that_is_not_fit_is_not_asked_for_the_lease(void **state)
{
    struct world *w = *state;

    w->d.state = DISPATCH_STANDBY;
    w->d.server_fit = false;
    w->now.mono_ns += 60 * MINUTE_NS;
    assert_false(dispatch_stalled(&w->d, w->now, w->why, sizeof(w->why)));
}

static void tick_late(struct world *w, uint64_t late_ns)
{
    w->now.mono_ns = w->d.lateness.due_ns + late_ns;
    progress_begin(&w->d, w->now);
    progress_end(&w->d, w->now, w->now.mono_ns + NS_PER_S);
}

static void the_worst_lateness_is_told_for_one_to_two_minutes(void **state)
{
    struct world *w = *state;

    stalled_after(w, 1);
    assert_int_equal(progress_late_ns(&w->d), 0);
    tick_late(w, 5 * NS_PER_S);
    tick_late(w, 0);
    assert_int_equal(progress_late_ns(&w->d), 5 * NS_PER_S);
    stalled_after(w, 60);
    assert_int_equal(progress_late_ns(&w->d), 5 * NS_PER_S);
    stalled_after(w, 60);
    assert_int_equal(progress_late_ns(&w->d), 0);
}

static void a_tick_that_was_due_at_once_is_not_late_since_ever(void **state)
{
    struct world *w = *state;

    progress_end(&w->d, w->now, 0);
    w->now.mono_ns += NS_PER_MS;
    progress_begin(&w->d, w->now);
    assert_int_equal(progress_late_ns(&w->d), NS_PER_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_minute_with_something_to_send_and_nothing_sent_is_a_stall),
        TEST(an_answer_is_progress),
        TEST(waiting_that_has_a_reason_is_no_stall),
        TEST(nothing_to_send_is_no_stall),
        TEST(a_suspect_that_waits_counts_unless_its_service_is_paused),
        TEST(a_request_without_any_answer_is_a_stall_even_when_paused),
        TEST(a_loop_that_forgot_an_account_is_a_stall),
        TEST(a_redis_that_is_not_fit_is_not_asked_for_the_lease),
        TEST(the_worst_lateness_is_told_for_one_to_two_minutes),
        TEST(a_tick_that_was_due_at_once_is_not_late_since_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
