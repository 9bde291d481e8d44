/* SPDX-License-Identifier: MIT
 * Tests the ledger with a fake queue that answers when the test tells it to. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "ledger.h"
#include "rng.h"

#define ASKED_MAX 16

static struct {
    queue_budget_cb *cb;
    void *ctx;
} asked[ASKED_MAX];
static size_t asked_count;
static unsigned changes;
static struct grant grant;

/* Replaces the function of store. */
void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx)
{
    (void)q, (void)r;
    must(asked_count < ASKED_MAX);
    asked[asked_count].cb = cb;
    asked[asked_count++].ctx = ctx;
}

/* The last request of each budget; the test answers it with answer_spend. */
static struct {
    struct queue_spend said;
    queue_done_cb *cb;
    void *ctx;
} spending[LEDGER_N];

void queue_spend(struct queue *q, const struct queue_spend *s, queue_done_cb *cb, void *ctx)
{
    (void)q;
    must(!spending[s->ledger].cb);
    spending[s->ledger].said = *s;
    spending[s->ledger].cb = cb;
    spending[s->ledger].ctx = ctx;
}

static void answer_spend(enum ledger_kind l, int err)
{
    queue_done_cb *cb = spending[l].cb;

    assert_non_null(cb);
    spending[l].cb = NULL;
    cb(spending[l].ctx, err);
}

static void on_changed(void *ctx, int err)
{
    (void)ctx, (void)err;
    changes++;
}

static void answer(size_t i, uint64_t spent)
{
    const struct queue_spent one = {.age_ms = 0, .cost = spent};
    const struct queue_budget b = {
        .known = true, .account_ms = 1, .spent = &one, .spent_count = spent != 0};

    asked[i].cb(asked[i].ctx, 0, &b);
}

static int setup(void **state)
{
    struct config_account *a = alloc_zeroed(1, sizeof(*a));

    config_account_init(a);
    asked_count = changes = 0;
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    struct config c = {.accounts = *state, .accounts_count = 1};

    config_deinit(&c);
    return 0;
}

/* The lease was lost and taken again while the first answer was in flight. Only the second answer
 * contains what others spent in between. */
static void a_late_answer_of_an_earlier_take_over_is_dropped(void **state)
{
    struct ledgers *p = ledger_new(*state, NULL, &grant, NS_PER_S, on_changed, NULL);

    ledger_restore(p);
    ledger_restore(p);
    assert_int_equal(asked_count, 2 * LEDGER_N);
    for (size_t l = 0; l < LEDGER_N; l++)
        answer(l, 0);
    assert_false(ledger_ready(p));
    assert_int_equal(changes, 0);
    for (size_t l = 0; l < LEDGER_N; l++)
        answer(LEDGER_N + l, 100);
    assert_true(ledger_ready(p));
    assert_true(ledger_left(p, LEDGER_PURGE, clock_mono_ns()) <= 100000 - 100);
    ledger_free(p);
}

static void a_refusal_of_an_earlier_take_over_is_dropped(void **state)
{
    struct ledgers *p = ledger_new(*state, NULL, &grant, NS_PER_S, on_changed, NULL);

    ledger_restore(p);
    ledger_restore(p);
    asked[0].cb(asked[0].ctx, -EIO, NULL);
    assert_int_equal(changes, 0);
    for (size_t l = 1; l < 2 * LEDGER_N; l++)
        answer(l, 0);
    assert_true(ledger_ready(p));
    ledger_free(p);
}

static struct ledgers *led(void **state)
{
    struct ledgers *p = ledger_new(*state, NULL, &grant, clock_mono_ns(), on_changed, NULL);

    const struct queue_budget unknown = {.account_ms = 1}; /* a new account: its bucket is full */

    grant = (struct grant){0};
    ledger_restore(p);
    for (size_t l = 0; l < LEDGER_N; l++)
        asked[l].cb(asked[l].ctx, 0, &unknown);
    assert_true(ledger_ready(p));
    return p;
}

/* A successor must neither lose units nor get them twice. */
static void closing_returns_what_is_unused_and_books_what_is_spent(void **state)
{
    struct ledgers *p = led(state);
    uint64_t when_ns = NEVER, now_ns = clock_mono_ns();

    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, now_ns, &when_ns);
    answer_spend(LEDGER_PURGE, 0);
    assert_int_equal(grant.units[LEDGER_PURGE], 10);
    grant.units[LEDGER_PURGE] -= 4; /* sent, and then answered */
    ledger_book(p, LEDGER_PURGE, 3, now_ns);
    ledger_book_late(p, LEDGER_PURGE, 1, now_ns); /* it may still arrive */
    assert_false(ledger_close(p, now_ns));
    assert_int_equal(spending[LEDGER_PURGE].said.open, 1);
    assert_int_equal(spending[LEDGER_PURGE].said.book, 3);
    assert_int_equal(grant.units[LEDGER_PURGE], 0);
    assert_false(ledger_close(p, now_ns)); /* and asks nothing while the answer is on its way */
    answer_spend(LEDGER_PURGE, 0);
    assert_true(ledger_close(p, now_ns));
    assert_null(spending[LEDGER_PURGE].cb);
    ledger_free(p);
}

/* The successor then counts what is open as spent. */
static void closing_ends_although_redis_refuses(void **state)
{
    struct ledgers *p = led(state);
    uint64_t when_ns = NEVER, now_ns = clock_mono_ns();

    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, now_ns, &when_ns);
    answer_spend(LEDGER_PURGE, 0);
    assert_false(ledger_close(p, now_ns));
    answer_spend(LEDGER_PURGE, -EIO);
    assert_true(ledger_close(p, now_ns));
    ledger_free(p);
}

static void flush(struct ledgers *p, uint64_t now_ns)
{
    ledger_flush(p, now_ns);
    for (enum ledger_kind l = 0; l < LEDGER_N; l++)
        if (spending[l].cb)
            answer_spend(l, 0);
}

/* Units that were granted before, or are being asked for, do not outlive the settings. */
static void a_lower_budget_holds_at_once(void **state)
{
    struct config_account *a = *state;
    struct ledgers *p = led(state);
    uint64_t when_ns = NEVER, now_ns = clock_mono_ns();

    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 100, now_ns, &when_ns);
    answer_spend(LEDGER_PURGE, 0);
    assert_int_equal(grant.units[LEDGER_PURGE], 100);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 200, now_ns, &when_ns);
    a->budget.purges = 50;
    ledger_configure(p, a, now_ns);
    assert_int_equal(grant.units[LEDGER_PURGE], 0);
    answer_spend(LEDGER_PURGE, 0);
    assert_int_equal(grant.units[LEDGER_PURGE], 0);
    flush(p, now_ns + 3 * NS_PER_S);
    assert_int_equal(spending[LEDGER_PURGE].said.open, 0);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 200, now_ns, &when_ns);
    answer_spend(LEDGER_PURGE, 0);
    assert_true(grant.units[LEDGER_PURGE] > 0 && grant.units[LEDGER_PURGE] <= 50);
    ledger_free(p);
}

/* The budget of a restart may be lower than what was booked before, and raised after it. */
static void a_raised_budget_knows_what_was_spent_before(void **state)
{
    struct config_account *a = *state;
    struct ledgers *p;
    uint64_t now_ns = clock_mono_ns();

    a->budget.purges = 50;
    p = ledger_new(a, NULL, &grant, now_ns, on_changed, NULL);
    ledger_restore(p);
    for (size_t l = 0; l < LEDGER_N; l++)
        answer(l, 300);
    a->budget.purges = 1000;
    ledger_configure(p, a, clock_mono_ns());
    assert_int_equal(ledger_left(p, LEDGER_PURGE, clock_mono_ns()), 1000 - 300);
    ledger_free(p);
}

/* What Redis has until then promises nothing, and is what a failover would go back to. */
static void redis_is_promised_something_before_it_may_lose_anything(void **state)
{
    struct ledgers *p = led(state);
    uint64_t when_ns = NEVER, now_ns = clock_mono_ns(), later_ns;

    ledger_set_frail(p, true);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, now_ns, &when_ns);
    assert_null(spending[LEDGER_PURGE].cb);
    flush(p, now_ns);
    assert_true(spending[LEDGER_PURGE].said.ahead >= 10);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, now_ns, &when_ns);
    assert_null(spending[LEDGER_PURGE].cb);
    assert_true(when_ns > now_ns && when_ns <= clock_mono_ns() + LEDGER_LOSS_MS * NS_PER_MS);
    later_ns = when_ns;
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, later_ns, &when_ns);
    answer_spend(LEDGER_PURGE, 0);
    assert_int_equal(grant.units[LEDGER_PURGE], 10);
    ledger_free(p);
}

/* Redis' settings, or its replicas, may change while a request is on its way. */
static void an_answer_may_come_when_redis_loses_nothing_any_more(void **state)
{
    struct ledgers *p = led(state);
    uint64_t when_ns = NEVER, now_ns = clock_mono_ns();

    ledger_set_frail(p, true);
    ledger_flush(p, now_ns);
    assert_non_null(spending[LEDGER_PURGE].cb);
    ledger_set_frail(p, false);
    flush(p, now_ns);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 10, now_ns, &when_ns);
    assert_int_equal(spending[LEDGER_PURGE].said.ahead, 0);
    ledger_set_frail(p, true);
    answer_spend(LEDGER_PURGE, 0); /* which promised nothing */
    assert_int_equal(grant.units[LEDGER_PURGE], 10);
    ledger_ask(p, LEDGER_PURGE, LANE_URGENT, 20, now_ns, &when_ns);
    assert_null(spending[LEDGER_PURGE].cb);
    ledger_free(p);
}

/* Nothing overflows at the limits of the settings. The ledger never asks for more than there is,
 * and it always asks for something if enough is left. If too little is left, it returns a time at
 * which enough will be. */
static void portions_are_right_up_to_the_ends_of_the_settings(void **state)
{
    static const uint64_t units[] = {1,
                                     2,
                                     1000,
                                     184467440737,
                                     184467440738,
                                     922337203685,
                                     999999999999,
                                     UINT64_C(1000000000000)};
    static const uint64_t windows_s[] = {1, 2, 3600, 86399, 86400};
    struct rng rng = {.state = 7};

    (void)state;
    for (size_t u = 0; u < array_len(units); u++)
        for (size_t w = 0; w < array_len(windows_s); w++)
            for (int lane = 0; lane < LANE_N; lane++) {
                uint64_t window_ns = windows_s[w] * NS_PER_S, now_ns = 5 * window_ns, when = NEVER;
                struct budget_limits limits = {units[u],
                                               window_ns,
                                               1 + rng_below(&rng, units[u]),
                                               rng_below(&rng, units[u]),
                                               {20, 50, 75}};
                struct budget *b = alloc_zeroed(1, sizeof(*b));
                uint64_t there, portion;

                budget_init(b, &limits, now_ns);
                there = budget_available(b, (enum lane)lane, now_ns);
                assert_true(there <= units[u]);
                portion = ledger_portion(b, (enum lane)lane, units[u], now_ns, &when);
                assert_true(portion <= there && (portion > 0 || there == 0 || when != NEVER));
                budget_reserve(b, there, now_ns);
                when = budget_when(b, (enum lane)lane, 1, now_ns);
                assert_true(when > now_ns);
                budget_book(b, there, now_ns);
                when = now_ns;
                while (budget_available(b, (enum lane)lane, when) == 0) {
                    uint64_t next = budget_when(b, (enum lane)lane, 1, when);

                    assert_true(next > when && next <= now_ns + 2 * window_ns + NS_PER_S);
                    when = next;
                }
                budget_deinit(b);
                free(b);
            }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_late_answer_of_an_earlier_take_over_is_dropped),
        T(a_refusal_of_an_earlier_take_over_is_dropped),
        T(closing_returns_what_is_unused_and_books_what_is_spent),
        T(closing_ends_although_redis_refuses),
        T(a_lower_budget_holds_at_once),
        T(a_raised_budget_knows_what_was_spent_before),
        T(redis_is_promised_something_before_it_may_lose_anything),
        T(an_answer_may_come_when_redis_loses_nothing_any_more),
        cmocka_unit_test(portions_are_right_up_to_the_ends_of_the_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
