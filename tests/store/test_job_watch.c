/* SPDX-License-Identifier: MIT
 * A client that waits for the end of a job is told by a message. It is also told if the message,
 * the look-up or a connection is lost. */
#include "store_world.h"

#include "job_watch.h"

#define JOB "normal-1700000000000-0"
#define RECEIPT "{\"job\":1}"

struct wait_world {
    struct store_world store;
    struct config config;
    struct config_account account;
    struct submit *submit;
    struct job_watch *waiters;
    unsigned ups, ended;
    int open;
    char receipt[100];
};

static void on_up(void *ctx)
{
    struct wait_world *w = ctx;

    w->ups++;
    loop_stop(w->store.loop);
}

static int set_up(void **state)
{
    struct wait_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->config.accounts = &w->account;
    w->config.accounts_count = 1;
    w->submit = submit_new(w->store.loop, NULL, on_up, NULL, w);
    store_until(&w->store, w->ups == 1);
    w->waiters = job_watch_new(w->store.loop, NULL, &w->config, w->submit);
    *state = w;
    return 0;
}

static void on_closed(void *ctx)
{
    struct wait_world *w = ctx;

    w->open--;
    loop_stop(w->store.loop);
}

static int tear_down(void **state)
{
    struct wait_world *w = *state;

    w->open = 2;
    job_watch_close(w->waiters, on_closed, w);
    store_until(&w->store, w->open == 1);
    submit_close(w->submit, on_closed, w);
    store_until(&w->store, w->open == 0);
    store_close(&w->store);
    free(w);
    return 0;
}

static void on_ended(void *ctx, struct span receipt)
{
    struct wait_world *w = ctx;

    w->ended++;
    snprintf(w->receipt, sizeof(w->receipt), "%.*s", (int)receipt.n, receipt.p);
    loop_stop(w->store.loop);
}

static void turn(void *ctx)
{
    loop_stop(((struct wait_world *)ctx)->store.loop);
}

/* Waits until the command or script has arrived this many times. */
static void await_count(struct wait_world *w, const char *name, size_t n)
{
    struct timer *t = timer_new(w->store.loop, turn, w);

    while (fakeio_count(name) < n) {
        timer_start_at(t, 0);
        store_until(&w->store, true);
        loop_run(w->store.loop);
    }
    timer_close(t);
}

static void add(struct wait_world *w, enum waiter_kind kind)
{
    job_watch_add(w->waiters, &w->account, JOB, kind, on_ended, w);
}

static void end_job(struct wait_world *w)
{
    store_do(&w->store, "SET " P "receipt:" JOB " " RECEIPT);
    store_do(&w->store, "XDEL " P "jobs:normal 1700000000000-0");
}

static void expect_told(struct wait_world *w, const char *receipt)
{
    store_until(&w->store, w->ended == 1);
    assert_string_equal(w->receipt, receipt);
}

static void a_waiting_client_is_told_of_the_end(void **state)
{
    struct wait_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    add(w, WAITER_PLAIN);
    await_count(w, "find_job", 2); /* once at the start, and once when the subscription begins */
    assert_int_equal(w->ended, 0);
    end_job(w);
    store_do(&w->store, "PUBLISH " P "settled normal-9-9");
    store_do(&w->store, "PUBLISH " P "settled " JOB);
    expect_told(w, RECEIPT);
    assert_int_equal(fakeio_count("find_job"), 3);
}

static void a_job_that_has_ended_is_told_at_once(void **state)
{
    struct wait_world *w = *state;

    end_job(w);
    add(w, WAITER_PLAIN);
    expect_told(w, RECEIPT);
}

static void a_job_that_is_nowhere_has_ended_without_a_receipt(void **state)
{
    struct wait_world *w = *state;

    add(w, WAITER_PLAIN);
    expect_told(w, "");
}

/* The job leaves its lane, is postponed, and comes back. In between it may be found nowhere. */
static void a_delayed_job_that_is_nowhere_is_waited_for(void **state)
{
    struct wait_world *w = *state;

    add(w, WAITER_DELAYED);
    await_count(w, "find_job", 2);
    assert_int_equal(w->ended, 0);
    end_job(w);
    store_do(&w->store, "PUBLISH " P "settled " JOB);
    expect_told(w, RECEIPT);
}

/* A job that ended while the subscription was down is looked up when the subscription is up again.
 */
static void an_end_that_went_unheard_is_found(void **state)
{
    struct wait_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    fakeio_fail_next("SUBSCRIBE", FAKEIO_LOST_BEFORE, NULL);
    add(w, WAITER_PLAIN);
    await_count(w, "find_job", 1);
    assert_int_equal(w->ended, 0);
    end_job(w);
    expect_told(w, RECEIPT);
    assert_int_equal(fakeio_count("SUBSCRIBE"), 2);
}

static void without_subscribe_the_client_polls(void **state)
{
    struct wait_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    for (int i = 0; i < 3; i++)
        fakeio_fail_next("SUBSCRIBE", FAKEIO_REFUSED, "NOPERM no channels for you");
    add(w, WAITER_PLAIN);
    await_count(w, "SUBSCRIBE", 2);
    end_job(w);
    expect_told(w, RECEIPT);
    await_count(w, "SUBSCRIBE", 3);
}

static void a_look_up_that_was_lost_is_made_again(void **state)
{
    struct wait_world *w = *state;

    fakeio_fail_next("find_job", FAKEIO_LOST_AFTER, NULL);
    end_job(w);
    add(w, WAITER_PLAIN);
    await_count(w, "SUBSCRIBE", 1);
    store_until(&w->store, submit_is_up(w->submit, NULL));
    store_do(&w->store, "PUBLISH " P "settled " JOB);
    expect_told(w, RECEIPT);
}

static void a_waiter_that_is_given_up_gets_no_receipt(void **state)
{
    struct wait_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    add(w, WAITER_PLAIN);
    job_watch_give_up(w->waiters);
    assert_int_equal(w->ended, 1);
    assert_string_equal(w->receipt, "");
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_waiting_client_is_told_of_the_end),
        over_redis(a_job_that_has_ended_is_told_at_once),
        over_redis(a_job_that_is_nowhere_has_ended_without_a_receipt),
        over_redis(a_delayed_job_that_is_nowhere_is_waited_for),
        over_redis(an_end_that_went_unheard_is_found),
        over_redis(without_subscribe_the_client_polls),
        over_redis(a_look_up_that_was_lost_is_made_again),
        over_redis(a_waiter_that_is_given_up_gets_no_receipt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
