/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "alloc.h"
#include "pace.h"

#define WALL_MS UINT64_C(1700000000000)

struct world {
    struct config_account account;
    struct pace pace;
    struct now now;
    struct list expired;
    enum lane lane;
    uint64_t next_ns;
    uint32_t ended[OUTCOME_N];
    uint64_t granted; /* per call of the reserve callback */
};

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));

    config_account_init(&w->account);
    assert_int_equal(config_services_add(&w->account, SPAN("S1"), SPAN("news")), 0);
    assert_int_equal(config_services_add(&w->account, SPAN("S2"), SPAN("shop")), 0);
    w->account.max_in_flight = 2;
    w->now = (struct now){.mono_ns = 1000 * NS_PER_S, .wall_ms = WALL_MS};
    pace_init(&w->pace, &w->account, 100);
    for (int l = 0; l < LEDGER_N; l++)
        pace_grant(&w->pace, (enum ledger_kind)l, 1000);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct config c = {.accounts = alloc_bytes(sizeof(w->account)), .accounts_count = 1};

    pace_deinit(&w->pace);
    c.accounts[0] = w->account;
    config_deinit(&c);
    free(w);
    return 0;
}

static void on_end(void *ctx, const struct window_job *job)
{
    struct world *w = ctx;

    if (job->open == 0)
        w->ended[job->outcome]++;
}

static void push(struct world *w, enum target_kind kind, const char *name, uint16_t service,
                 uint64_t expires_ms)
{
    struct job_target target = {kind, service, span_str(name)};
    struct job_spec spec = {
        .targets = &target, .targets_count = 1, .service = service, .expires_ms = expires_ms};
    struct window_add how = {.lane = w->lane, .now_ns = w->now.mono_ns};

    window_add(&w->pace.window, &spec, &how);
}

static void end_all(struct world *w, struct list *targets, enum outcome outcome)
{
    struct list *node;

    while ((node = list_pop_front(targets)))
        window_settle(&w->pace.window, pending_of(node), outcome, on_end, w);
}

/* The next batch in flight; NULL if there is none. */
static struct batch *next(struct world *w)
{
    struct batch *b;

    w->next_ns = NEVER;
    while ((b = pace_pick(&w->pace, w->now, &w->expired, &w->next_ns))) {
        end_all(w, &w->expired, OUTCOME_EXPIRED);
        if (pace_begin(&w->pace, b, w->now.mono_ns))
            return b;
    }
    return NULL;
}

static void purged(struct world *w, struct batch *b)
{
    pace_end(&w->pace, b);
    end_all(w, &b->targets, OUTCOME_PURGED);
    end_all(w, &b->absorbed, OUTCOME_PURGED);
    batch_free(b);
}

static void no_more_requests_than_allowed_are_in_flight(void **state)
{
    struct world *w = *state;
    struct batch *first, *second;

    for (uint16_t service = 0; service < 2; service++)
        push(w, TARGET_KEY, "a", service, 0);
    push(w, TARGET_URL, "https://www.example.com/", SERVICE_NONE, 0);
    first = next(w);
    second = next(w);
    assert_non_null(second);
    assert_null(next(w));
    purged(w, first);
    first = next(w);
    assert_non_null(first);
    purged(w, first);
    purged(w, second);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    assert_int_equal(w->pace.in_flight, 0);
}

static void a_pulled_brake_stops_everything_until_its_time(void **state)
{
    struct world *w = *state;
    struct batch *b;

    push(w, TARGET_KEY, "a", 0, 0);
    w->pace.funded[LEDGER_PURGE][LANE_URGENT] = true;
    assert_true(pace_could_send(&w->pace, w->now.mono_ns));
    (void)brake_hold(&w->pace.brake, BRAKE_THROTTLE, w->pace.brake.epoch, 1000, w->now.mono_ns);
    assert_int_equal(pace_held_until_ns(&w->pace, w->now.mono_ns), w->now.mono_ns + NS_PER_S);
    assert_false(pace_could_send(&w->pace, w->now.mono_ns));
    assert_null(next(w));
    w->now.mono_ns += NS_PER_S;
    assert_int_equal(pace_held_until_ns(&w->pace, w->now.mono_ns), 0);
    b = next(w);
    assert_non_null(b);
    assert_int_equal(b->brake_epoch, w->pace.brake.epoch);
    purged(w, b);
}

static void expired_targets_are_not_sent_and_cost_nothing(void **state)
{
    struct world *w = *state;
    struct batch *b;

    push(w, TARGET_KEY, "late", 0, WALL_MS);
    push(w, TARGET_KEY, "early", 0, WALL_MS + 1);
    b = next(w);
    assert_int_equal(b->count, 1);
    assert_int_equal(b->cost, 1);
    assert_int_equal(w->ended[OUTCOME_EXPIRED], 1);
    assert_int_equal(pace_granted(&w->pace, LEDGER_PURGE), 999);
    purged(w, b);
    push(w, TARGET_KEY, "late", 0, WALL_MS);
    assert_null(next(w));
    assert_int_equal(w->pace.in_flight, 0);
    assert_int_equal(w->ended[OUTCOME_EXPIRED], 2);
    assert_int_equal(pace_granted(&w->pace, LEDGER_PURGE), 999);
}

static void a_purge_all_takes_the_waiting_keys_and_the_next_one_waits_for_its_end(void **state)
{
    struct world *w = *state;
    struct batch *b;

    push(w, TARGET_ALL, "", 0, 0);
    w->lane = LANE_BULK;
    push(w, TARGET_KEY, "a", 0, 0);
    push(w, TARGET_KEY, "a", 1, 0);
    w->lane = LANE_URGENT;
    b = next(w);
    assert_int_equal(b->form, FORM_ALL);
    assert_int_equal(pace_granted(&w->pace, LEDGER_WRITE), 999);
    assert_int_equal(lanes_waiting_of(&w->pace.lanes, LANE_BULK, 0), 0);
    assert_int_equal(lanes_waiting_of(&w->pace.lanes, LANE_BULK, 1), 1);
    w->now.mono_ns += NS_PER_S; /* longer than the other key lingers */
    purged(w, next(w));
    push(w, TARGET_ALL, "", 0, 0);
    assert_null(next(w));
    purged(w, b);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    b = next(w);
    assert_int_equal(b->form, FORM_ALL);
    purged(w, b);
}

static void a_request_that_never_left_can_be_paid_again(void **state)
{
    struct world *w = *state;
    struct batch *b;

    push(w, TARGET_KEY, "a", 0, 0);
    b = next(w);
    assert_int_equal(pace_granted(&w->pace, LEDGER_PURGE), 999);
    pace_refund(&w->pace, b);
    assert_int_equal(pace_granted(&w->pace, LEDGER_PURGE), 1000);
    purged(w, b);
}

static void reserve(void *ctx, enum ledger_kind ledger, enum lane lane, uint64_t want,
                    uint64_t now_ns, uint64_t *when_ns)
{
    struct world *w = ctx;

    (void)lane;
    w->granted = want;
    if (ledger == LEDGER_WRITE)
        *when_ns = now_ns + 7;
}

static void units_are_asked_for_what_waits_and_a_lane_that_must_wait_is_not_funded(void **state)
{
    struct world *w = *state;
    uint64_t next_ns = NEVER;

    push(w, TARGET_KEY, "a", 0, 0);
    push(w, TARGET_KEY, "b", 1, 0);
    pace_ask(&w->pace, reserve, w, w->now.mono_ns, &next_ns);
    assert_int_equal(w->granted, 2);
    assert_int_equal(next_ns, NEVER);
    assert_true(w->pace.funded[LEDGER_PURGE][LANE_URGENT]);
    push(w, TARGET_ALL, "", 0, 0);
    pace_ask(&w->pace, reserve, w, w->now.mono_ns, &next_ns);
    assert_int_equal(next_ns, w->now.mono_ns + 7);
    assert_false(w->pace.funded[LEDGER_WRITE][LANE_URGENT]);
    assert_false(w->pace.funded[LEDGER_PURGE][LANE_BULK]);
}

static void a_restart_forgets_what_waits_and_keeps_the_brake_and_the_grant(void **state)
{
    struct world *w = *state;

    push(w, TARGET_KEY, "a", 0, 0);
    (void)brake_hold(&w->pace.brake, BRAKE_TOKEN, w->pace.brake.epoch, 1000, w->now.mono_ns);
    w->account.max_in_flight = 1;
    pace_restart(&w->pace, &w->account);
    assert_int_equal(window_held(&w->pace.window), 0);
    assert_int_equal(window_limit(&w->pace.window), 100);
    assert_int_equal(w->pace.max_in_flight, 1);
    assert_int_equal(pace_held_until_ns(&w->pace, w->now.mono_ns), w->now.mono_ns + NS_PER_S);
    assert_int_equal(pace_granted(&w->pace, LEDGER_PURGE), 1000);
}

static void new_settings_apply_to_what_waits(void **state)
{
    struct world *w = *state;
    struct batch *b;

    w->account.urgent.linger_ms = 50;
    w->account.max_in_flight = 1;
    push(w, TARGET_KEY, "a", 0, 0);
    pace_configure(&w->pace, &w->account);
    assert_null(next(w));
    assert_int_equal(w->next_ns, w->now.mono_ns + 50 * NS_PER_MS);
    w->now.mono_ns = w->next_ns;
    b = next(w);
    assert_non_null(b);
    push(w, TARGET_KEY, "b", 1, 0);
    w->now.mono_ns += NS_PER_S;
    assert_null(next(w));
    purged(w, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(no_more_requests_than_allowed_are_in_flight),
        TEST(a_pulled_brake_stops_everything_until_its_time),
        TEST(expired_targets_are_not_sent_and_cost_nothing),
        TEST(a_purge_all_takes_the_waiting_keys_and_the_next_one_waits_for_its_end),
        TEST(a_request_that_never_left_can_be_paid_again),
        TEST(units_are_asked_for_what_waits_and_a_lane_that_must_wait_is_not_funded),
        TEST(a_restart_forgets_what_waits_and_keeps_the_brake_and_the_grant),
        TEST(new_settings_apply_to_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
