/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "plan.h"

#define NOW_MS UINT64_C(1700000000000)

struct world {
    struct config_account account;
    struct plan_options options;
    struct plan *plan;
    struct plan_result r;
    uint64_t asked_targets, asked_batches, largest;
};

static void on_request(void *ctx, const struct plan_request *r)
{
    struct world *w = ctx;

    w->asked_batches++;
    w->asked_targets += r->batch->count;
    w->largest = max_u64(w->largest, r->batch->count);
    list_each(it, &r->batch->targets)
        assert_true(pending_of(it)->kind != TARGET_KEY ||
                    !memchr(pending_of(it)->bytes, ' ', pending_of(it)->bytes_count));
}

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));

    config_account_init(&w->account);
    assert_int_equal(config_services_add(&w->account, SPAN("S1"), SPAN("news")), 0);
    assert_int_equal(config_services_add(&w->account, SPAN("S2"), SPAN("shop")), 0);
    w->options = (struct plan_options){.account = &w->account,
                                       .window = 1000000,
                                       .reply_ms = 50,
                                       .wall_ms = NOW_MS,
                                       .request = on_request,
                                       .ctx = w};
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct config c = {.accounts = &w->account, .accounts_count = 1};

    plan_free(w->plan);
    c.accounts = alloc_bytes(sizeof(w->account));
    c.accounts[0] = w->account;
    config_deinit(&c);
    free(w);
    return 0;
}

/* Uses the options that the test has set. */
static struct plan *begin(struct world *w)
{
    w->plan = plan_new(&w->options);
    return w->plan;
}

/* name, value, ..., NULL */
static int push(struct world *w, enum lane lane, const char *const *words)
{
    struct span fields[16];
    size_t count = 0;
    struct error err;

    for (; words[count]; count++)
        fields[count] = span_str(words[count]);
    return plan_take(w->plan, lane, fields, count, &err);
}

#define PUSH(lane, ...) push(w, lane, (const char *const[]){__VA_ARGS__, NULL})

static void push_keys(struct world *w, enum lane lane, const char *service, unsigned n)
{
    static unsigned unique;
    char key[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "k%u", unique++);
        assert_int_equal(PUSH(lane, "keys", key, "service", service), 0);
    }
}

static const struct plan_result *finish(struct world *w)
{
    plan_finish(w->plan, &w->r);
    return &w->r;
}

/* -- targets and cost ------------------------------------------------------------------------ */

static void equal_targets_are_one_and_cost_once(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(PUSH(LANE_NORMAL, "keys", "a b", "service", "S1"), 0);
    assert_int_equal(PUSH(LANE_NORMAL, "keys", "b c", "service", "S1"), 0);
    assert_int_equal(PUSH(LANE_NORMAL, "keys", "b", "service", "S2"), 0);
    finish(w);
    assert_int_equal(w->r.lanes[LANE_NORMAL].jobs, 3);
    assert_int_equal(w->r.lanes[LANE_NORMAL].targets, 5);
    assert_int_equal(w->r.lanes[LANE_NORMAL].merged, 1);
    assert_int_equal(w->r.lanes[LANE_NORMAL].requests, 2);
    assert_int_equal(w->r.lanes[LANE_NORMAL].cost, 4);
    assert_int_equal(w->r.ledgers[LEDGER_PURGE].left_then, 100000 - 4);
}

static void a_request_holds_256_keys_and_the_next_begins_with_the_257th(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_URGENT, "S1", 257);
    finish(w);
    assert_int_equal(w->r.lanes[LANE_URGENT].requests, 2);
    assert_int_equal(w->asked_batches, 2);
    assert_int_equal(w->largest, 256);
    assert_int_equal(w->asked_targets, 257);
}

static void a_purge_all_makes_waiting_keys_needless(void **state)
{
    struct world *w = *state;

    w->account.allow_purge_all = true;
    begin(w);
    push_keys(w, LANE_BULK, "S1", 10);
    push_keys(w, LANE_BULK, "S2", 1);
    assert_int_equal(PUSH(LANE_NORMAL, "all", "1", "service", "S1"), 0);
    finish(w);
    assert_int_equal(w->r.absorbed, 10);
    assert_int_equal(w->r.lanes[LANE_BULK].cost, 1);
    assert_int_equal(w->r.lanes[LANE_BULK].jobs, 11);
    assert_int_equal(w->r.ledgers[LEDGER_WRITE].cost, 1);
    assert_int_equal(w->r.ledgers[LEDGER_WRITE].left_then, 999);
}

static void what_the_dispatcher_would_refuse_is_refused_with_the_same_sentence(void **state)
{
    struct world *w = *state;
    struct span fields[] = {SPAN("keys"), SPAN("a"), SPAN("not_befor"), SPAN("1")};
    struct error err;

    assert_int_equal(plan_take(begin(w), LANE_NORMAL, fields, 4, &err), -EINVAL);
    assert_string_equal(err.text, "not_befor: unknown field; did you mean not_before?");
    assert_int_equal(finish(w)->refused, 1);
    assert_int_equal(w->r.lanes[LANE_NORMAL].jobs, 0);
}

static void a_site_that_may_not_be_contacted_is_refused(void **state)
{
    struct world *w = *state;

    w->account.url_mode = URL_MODE_DIRECT;
    assert_int_equal(config_words_add(&w->account.direct_hosts, SPAN("ours.example")), 0);
    begin(w);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "https://ours.example/"), 0);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "https://theirs.example/"), -EINVAL);
    assert_int_equal(finish(w)->lanes[LANE_NORMAL].requests, 1);
}

static void a_site_that_wants_the_token_is_not_asked_over_http(void **state)
{
    struct world *w = *state;
    const struct span fields[] = {SPAN("url"), SPAN("http://Ours.example/")};
    struct error err;

    w->account.url_mode = URL_MODE_DIRECT;
    assert_int_equal(config_words_add(&w->account.direct_hosts, SPAN("ours.example")), 0);
    assert_int_equal(config_words_add(&w->account.direct_hosts, SPAN("open.example")), 0);
    assert_int_equal(config_words_add(&w->account.direct_token_hosts, SPAN("ours.example")), 0);
    begin(w);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "https://ours.example/"), 0);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "ours.example/2"), 0);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "http://open.example/"), 0);
    assert_int_equal(plan_take(w->plan, LANE_NORMAL, fields, 2, &err), -EINVAL);
    assert_string_equal(err.text,
                        "url: its host is among the account's direct_token_hosts: ask for "
                        "https, http would show the token");
    assert_int_equal(finish(w)->lanes[LANE_NORMAL].requests, 3);
}

/* -- time of completion ---------------------------------------------------------------------- */

static void an_urgent_job_is_done_with_its_answer(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_URGENT, "S1", 1);
    assert_int_equal(finish(w)->lanes[LANE_URGENT].done_ms, 50);
    assert_int_equal(w->r.done_ms, 50);
}

static void normal_jobs_linger_for_company(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_NORMAL, "S1", 1);
    assert_int_equal(finish(w)->lanes[LANE_NORMAL].done_ms, 55);
}

static void
a_bulk_job_gets_a_quarter_of_the_budget_at_once_and_then_the_pace_of_the_rest(void **state)
{
    struct world *w = *state;
    uint64_t paced_ms = (30000 - 25000) * UINT64_C(3600000) / 75000;

    begin(w);
    push_keys(w, LANE_BULK, "S1", 30000);
    finish(w);
    assert_in_range(w->r.lanes[LANE_BULK].done_ms, paced_ms - 5000, paced_ms + 5000);
    assert_int_equal(w->r.lanes[LANE_BULK].cost, 30000);
}

static void twenty_thousand_keys_of_an_idle_account_are_sent_at_once(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_NORMAL, "S1", 20000);
    assert_in_range(finish(w)->done_ms, 0, 500);
}

static void half_an_hours_budget_is_sent_at_once_and_half_within_the_hour(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_NORMAL, "S1", 50000);
    assert_in_range(finish(w)->done_ms, 0, 2000);
    plan_free(w->plan);
    begin(w);
    push_keys(w, LANE_NORMAL, "S1", 100000);
    assert_in_range(finish(w)->done_ms, 3500 * 1000, 3610 * 1000);
    assert_in_range(w->r.urgent_worst_ms, 0, 1000);
}

static void more_than_an_hours_budget_takes_more_than_an_hour(void **state)
{
    struct world *w = *state;

    w->account.budget.purges = 10000;
    begin(w);
    push_keys(w, LANE_BULK, "S1", 15000);
    finish(w);
    assert_in_range(w->r.done_ms, 4700 * 1000, 4900 * 1000);
    assert_int_equal(w->r.ledgers[LEDGER_PURGE].cost, 15000);
}

static void requests_on_the_wire_are_limited(void **state)
{
    struct world *w = *state;
    char url[64];

    w->account.max_in_flight = 2;
    begin(w);
    for (int i = 0; i < 10; i++) {
        snprintf(url, sizeof(url), "https://example.com/%d", i);
        assert_int_equal(PUSH(LANE_URGENT, "url", url), 0);
    }
    assert_int_equal(finish(w)->done_ms, 250);
}

static void a_job_waits_for_its_time_and_a_repeat_is_sent_twice(void **state)
{
    struct world *w = *state;
    char later[32];

    snprintf(later, sizeof(later), "%llu", (unsigned long long)NOW_MS + 60000);
    begin(w);
    assert_int_equal(PUSH(LANE_NORMAL, "keys", "a", "service", "S1", "not_before", later), 0);
    assert_int_equal(PUSH(LANE_BULK, "keys", "b", "service", "S1", "repeat_after", "10000"), 0);
    finish(w);
    assert_int_equal(w->r.postponed, 1);
    assert_int_equal(w->r.lanes[LANE_NORMAL].jobs, 1);
    assert_int_equal(w->r.lanes[LANE_NORMAL].done_ms, 60000 + 55);
    assert_int_equal(w->r.repeats, 1);
    assert_int_equal(w->r.lanes[LANE_BULK].jobs, 1);
    assert_int_equal(w->r.lanes[LANE_BULK].requests, 2);
    assert_int_equal(w->r.lanes[LANE_BULK].done_ms, 150 + 10000 + 150);
}

static void a_time_years_away_is_not_waited_for(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(
        PUSH(LANE_NORMAL, "keys", "a", "service", "S1", "not_before", "253402300799999"), 0);
    assert_int_equal(finish(w)->beyond, 1);
    assert_int_equal(w->r.done_ms, 0);
}

static void what_expires_while_the_budget_is_spent_is_said_to_expire(void **state)
{
    struct world *w = *state;
    char soon[32];

    snprintf(soon, sizeof(soon), "%llu", (unsigned long long)NOW_MS + 1000);
    begin(w);
    plan_spent(w->plan, LEDGER_PURGE, 100000, 0);
    assert_int_equal(PUSH(LANE_URGENT, "keys", "a", "service", "S1", "expires", soon), 0);
    push_keys(w, LANE_URGENT, "S1", 1);
    finish(w);
    assert_int_equal(w->r.expired, 1);
    assert_int_equal(w->r.lanes[LANE_URGENT].cost, 1);
    assert_in_range(w->r.done_ms, 3600 * 1000, 3605 * 1000);
}

/* -- the budget ------------------------------------------------------------------------------- */

static void what_was_spent_before_counts_until_its_hour_is_over(void **state)
{
    struct world *w = *state;

    begin(w);
    plan_spent(w->plan, LEDGER_PURGE, 99999, 1800 * 1000);
    push_keys(w, LANE_URGENT, "S1", 2);
    finish(w);
    assert_int_equal(w->r.ledgers[LEDGER_PURGE].spent, 99999);
    assert_int_equal(w->r.ledgers[LEDGER_PURGE].left, 1);
    assert_in_range(w->r.done_ms, 1800 * 1000, 1802 * 1000);
}

static void an_empty_bucket_is_waited_for(void **state)
{
    struct world *w = *state;

    begin(w);
    plan_level(w->plan, LEDGER_PURGE, 0, 0);
    push_keys(w, LANE_URGENT, "S1", 1);
    assert_int_equal(finish(w)->done_ms, 36 + 50); /* 3,600 s for 100,000 */
}

static void a_burst_that_a_429_halved_is_planned_as_half(void **state)
{
    struct world *w = *state;

    begin(w);
    plan_learnt(w->plan, LEDGER_PURGE, 1000, 1800 * 1000);
    plan_level(w->plan, LEDGER_PURGE, UINT64_C(50000000000), 0);
    push_keys(w, LANE_URGENT, "S1", 2000);
    /* 1,000 at once, and 1,000 at up to 100,000 an hour, which is how fast the bucket refills */
    assert_in_range(finish(w)->done_ms, 36000, 37000);
}

static void a_time_after_a_century_is_reported_as_never(void **state)
{
    struct world *w = *state;

    w->account.budget.purges = 1;
    w->account.budget.per_s = 4000000000; /* 127 years */
    begin(w);
    push_keys(w, LANE_URGENT, "S1", 3);
    finish(w);
    assert_int_equal(w->r.lanes[LANE_URGENT].cost, 1);
    assert_int_equal(w->r.never, 2);
}

/* -- one more urgent purge -------------------------------------------------------------------- */

static void an_urgent_purge_overtakes_whatever_bulk_there_is(void **state)
{
    struct world *w = *state;

    begin(w);
    push_keys(w, LANE_BULK, "S1", 20000);
    finish(w);
    assert_true(w->r.urgent_known);
    assert_int_equal(w->r.urgent_ms, 0);
    assert_in_range(w->r.urgent_worst_ms, 0, 1000);
}

static void an_urgent_purge_waits_behind_urgent_ones(void **state)
{
    struct world *w = *state;

    begin(w);
    plan_level(w->plan, LEDGER_PURGE, 0, 0);
    push_keys(w, LANE_URGENT, "S1", 99);
    assert_int_equal(finish(w)->urgent_ms, 3600);
}

static void the_measurement_costs_nothing_and_is_in_no_request(void **state)
{
    struct world *w = *state;

    w->account.budget.burst = 5000;
    begin(w);
    push_keys(w, LANE_URGENT, "S1", 6000);
    finish(w);
    assert_int_equal(w->asked_targets, 6000);
    assert_int_equal(w->r.ledgers[LEDGER_PURGE].cost, 6000);
    assert_true(w->r.urgent_ms > 30 * 1000); /* 1,000 beyond the burst */
}

static void without_any_job_the_wait_of_an_urgent_purge_is_known(void **state)
{
    struct world *w = *state;

    begin(w);
    plan_level(w->plan, LEDGER_PURGE, 0, 0);
    finish(w);
    assert_true(w->r.urgent_known);
    assert_int_equal(w->r.urgent_ms, 36);
    assert_int_equal(w->r.done_ms, 0);
}

static void an_account_for_urls_only_is_measured_too(void **state)
{
    struct world *w = *state;

    config_services_free(&w->account);
    begin(w);
    assert_int_equal(PUSH(LANE_NORMAL, "url", "https://example.com/"), 0);
    finish(w);
    assert_true(w->r.urgent_known);
    assert_int_equal(w->asked_batches, 1);
}

/* The unit that a lingering normal job has asked for must not go to the bulk lane, which would get
 * below its floor. */
static void a_normal_job_that_lingers_does_not_feed_the_bulk_lane(void **state)
{
    struct world *w = *state;

    w->account.normal.linger_ms = 60000;
    w->account.budget.burst = 5000;
    begin(w);
    push_keys(w, LANE_BULK, "S1", 5000);
    push_keys(w, LANE_NORMAL, "S1", 1);
    finish(w);
    assert_int_equal(w->r.urgent_ms, 0);
    assert_in_range(w->r.lanes[LANE_BULK].requests, 10, 120);
    assert_true(w->r.lanes[LANE_BULK].done_ms > 85 * 1000);
}

/* -- the window ------------------------------------------------------------------------------- */

static void more_than_the_window_holds_is_planned_piece_by_piece(void **state)
{
    struct world *w = *state;

    w->options.window = 1000;
    w->account.budget.burst = 5000;
    begin(w);
    for (int i = 0; i < 500; i++) {
        push_keys(w, LANE_BULK, "S1", 10);
        assert_in_range(plan_room(w->plan, LANE_URGENT), 99, 1000);
    }
    finish(w);
    assert_true(w->r.windowed);
    assert_int_equal(w->r.lanes[LANE_BULK].cost, 5000);
    assert_in_range(w->r.done_ms, 90 * 1000, 95 * 1000); /* 2,500 at the pace of the hour */
}

static void room_is_made_by_going_on(void **state)
{
    struct world *w = *state;

    w->options.window = 100;
    begin(w);
    push_keys(w, LANE_URGENT, "S1", 100);
    assert_int_equal(plan_room(w->plan, LANE_URGENT), 0);
    plan_make_room(w->plan, LANE_URGENT, 1000000);
    assert_in_range(plan_room(w->plan, LANE_URGENT), 50, 100);
    assert_int_equal(finish(w)->lanes[LANE_URGENT].cost, 100);
}

/* A plan covers a century. The last request begins a second before its end. */
static void an_answer_that_comes_after_the_end_of_all_plans_is_awaited(void **state)
{
    struct world *w = *state;

    w->account.budget.purges = 1;
    w->account.budget.per_s = 3162239999;
    w->options.reply_ms = 600000;
    begin(w);
    plan_level(w->plan, LEDGER_PURGE, 0, 0);
    push_keys(w, LANE_URGENT, "S1", 1);
    assert_int_equal(finish(w)->done_ms, UINT64_C(3162239999000) + 600000);
    assert_int_equal(w->r.never, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(equal_targets_are_one_and_cost_once),
        TEST(a_request_holds_256_keys_and_the_next_begins_with_the_257th),
        TEST(a_purge_all_makes_waiting_keys_needless),
        TEST(what_the_dispatcher_would_refuse_is_refused_with_the_same_sentence),
        TEST(a_site_that_may_not_be_contacted_is_refused),
        TEST(a_site_that_wants_the_token_is_not_asked_over_http),
        TEST(an_urgent_job_is_done_with_its_answer),
        TEST(normal_jobs_linger_for_company),
        TEST(a_bulk_job_gets_a_quarter_of_the_budget_at_once_and_then_the_pace_of_the_rest),
        TEST(twenty_thousand_keys_of_an_idle_account_are_sent_at_once),
        TEST(half_an_hours_budget_is_sent_at_once_and_half_within_the_hour),
        TEST(more_than_an_hours_budget_takes_more_than_an_hour),
        TEST(requests_on_the_wire_are_limited),
        TEST(a_job_waits_for_its_time_and_a_repeat_is_sent_twice),
        TEST(a_time_years_away_is_not_waited_for),
        TEST(what_expires_while_the_budget_is_spent_is_said_to_expire),
        TEST(what_was_spent_before_counts_until_its_hour_is_over),
        TEST(an_empty_bucket_is_waited_for),
        TEST(a_burst_that_a_429_halved_is_planned_as_half),
        TEST(a_time_after_a_century_is_reported_as_never),
        TEST(an_answer_that_comes_after_the_end_of_all_plans_is_awaited),
        TEST(an_urgent_purge_overtakes_whatever_bulk_there_is),
        TEST(an_urgent_purge_waits_behind_urgent_ones),
        TEST(the_measurement_costs_nothing_and_is_in_no_request),
        TEST(without_any_job_the_wait_of_an_urgent_purge_is_known),
        TEST(an_account_for_urls_only_is_measured_too),
        TEST(a_normal_job_that_lingers_does_not_feed_the_bulk_lane),
        TEST(more_than_the_window_holds_is_planned_piece_by_piece),
        TEST(room_is_made_by_going_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
