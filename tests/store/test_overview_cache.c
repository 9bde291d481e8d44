/* SPDX-License-Identifier: MIT
 * The endpoint reports an account as it is in Redis. If Redis does not answer, it says so. */
#include "store_world.h"

#include "overview_cache.h"

struct overview_cache_world {
    struct store_world store;
    struct config config;
    struct config_account account;
    struct redis *redis;
    struct overview_cache *overviews;
    unsigned ups, answers, good;
    bool closed;
};

static void on_up(void *ctx)
{
    struct overview_cache_world *w = ctx;

    w->ups++;
    loop_stop(w->store.loop);
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx, (void)why;
}

static struct redis *redis_of(void *ctx, const char *account)
{
    const struct overview_cache_world *w = ctx;

    (void)account;
    return w->redis;
}

static int set_up(void **state)
{
    struct overview_cache_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->config.accounts = &w->account;
    w->config.accounts_count = 1;
    w->redis = redis_new(w->store.loop, NULL, on_up, on_down, w);
    w->overviews = overview_cache_new(&w->config, redis_of, w);
    store_until(&w->store, w->ups == 1);
    *state = w;
    return 0;
}

static void on_closed(void *ctx)
{
    struct overview_cache_world *w = ctx;

    w->closed = true;
    loop_stop(w->store.loop);
}

static int tear_down(void **state)
{
    struct overview_cache_world *w = *state;

    redis_close(w->redis, on_closed, w);
    store_until(&w->store, w->closed);
    overview_cache_free(w->overviews);
    store_close(&w->store);
    free(w);
    return 0;
}

static void on_refreshed(void *ctx, bool ok)
{
    struct overview_cache_world *w = ctx;

    w->answers++;
    w->good += ok;
    loop_stop(w->store.loop);
}

/* Asks Redis again, without the cached answer. */
static bool refresh(struct overview_cache_world *w)
{
    unsigned answers = w->answers, good = w->good;

    store_until(&w->store, redis_is_up(w->redis));
    overview_cache_free(w->overviews);
    w->overviews = overview_cache_new(&w->config, redis_of, w);
    overview_cache_refresh(w->overviews, on_refreshed, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->good == good + 1;
}

static const struct overview_cache_account *known(struct overview_cache_world *w)
{
    return overview_cache_last_of(w->overviews, &w->account);
}

static void an_account_without_keys_is_empty(void **state)
{
    struct overview_cache_world *w = *state;

    assert_true(refresh(w));
    assert_true(known(w)->known);
    assert_int_equal(known(w)->overview.lanes[LANE_NORMAL].jobs, 0);
    assert_int_equal(known(w)->overview.lanes[LANE_NORMAL].oldest_ms, 0);
    assert_int_equal(known(w)->overview.later_next_ms, 0);
    assert_null(known(w)->overview.leader);
    assert_false(known(w)->overview.paused);
}

static void it_says_what_is_in_redis(void **state)
{
    struct overview_cache_world *w = *state;
    const struct overview_cache_account *s;

    store_do(&w->store, "XADD " P "jobs:bulk * url a");
    w->store.now_ms += 1500;
    store_do(&w->store, "XADD " P "jobs:bulk * url a");
    store_do(&w->store, "ZADD " P "postponed 1700000003500 x 1700000009000 y");
    store_do(&w->store, "ZADD " P "later 5 z");
    store_do(&w->store, "XADD " P "dead * url a");
    store_do(&w->store, "SET " P "lease me");
    store_do(&w->store, "HSET " P "control paused 1");
    store_do(&w->store, "SET " P "status {\"budget_left\":7,\"stalled\":\"why\",\"lost_bulk\":1}");
    assert_true(refresh(w));
    s = known(w);
    assert_int_equal(s->overview.lanes[LANE_BULK].jobs, 2);
    assert_int_equal(s->overview.lanes[LANE_BULK].oldest_ms, 1500);
    assert_int_equal(s->overview.later, 3);
    assert_int_equal(s->overview.later_next_ms, 2000);
    assert_int_equal(s->overview.dead, 1);
    assert_non_null(s->overview.leader);
    assert_true(s->overview.paused);
    assert_int_equal(s->budget_left, 7);
    assert_true(s->stuck);
    assert_true(s->lost[LANE_BULK]);
    assert_false(s->lost[LANE_NORMAL]);
}

static uint64_t eta_ms(struct overview_cache_world *w, enum lane lane, uint64_t cost)
{
    return overview_cache_eta_ms(known(w), &w->account, lane, cost);
}

static void the_estimate_knows_what_may_be_sent_at_once_and_the_pace_of_the_rest(void **state)
{
    struct overview_cache_world *w = *state;

    w->account.budget.purges = 100000;
    w->account.budget.per_s = 3600;
    store_do(&w->store, "SET " P "lease me");
    store_do(&w->store, "SET " P "status {\"budget_left\":100000,\"budget_pace_milli\":27777,"
                        "\"at_once_normal\":49500,\"at_once_bulk\":24500}");
    assert_true(refresh(w));
    assert_in_range(eta_ms(w, LANE_NORMAL, 20000), 0, 999);
    assert_in_range(eta_ms(w, LANE_BULK, 20000), 0, 999);
    assert_in_range(eta_ms(w, LANE_BULK, 30000), 250 * 1000, 280 * 1000);
    assert_in_range(eta_ms(w, LANE_NORMAL, 100000), 3550 * 1000, 3650 * 1000);
    assert_in_range(eta_ms(w, LANE_NORMAL, 200000), 7150 * 1000, 7250 * 1000);
}

/* An entry that is too large for a script is not read. */
static void the_age_of_a_huge_entry_is_not_asked_for(void **state)
{
    struct overview_cache_world *w = *state;
    char *big = alloc_zeroed(1100001, 1), *command;

    memset(big, 'u', 1100000);
    command = alloc_printf("XADD " P "jobs:urgent * url %s", big);
    store_do(&w->store, command);
    w->store.now_ms += 1500;
    assert_true(refresh(w));
    assert_int_equal(known(w)->overview.lanes[LANE_URGENT].jobs, 1);
    assert_int_equal(known(w)->overview.lanes[LANE_URGENT].oldest_ms, 0);
    free(command);
    free(big);
}

static void looking_needs_no_memory(void **state)
{
    struct overview_cache_world *w = *state;

    fakeredis_set_full(w->store.redis, OOM);
    fakeredis_set_refusing(w->store.redis, "MISCONF the disk is full");
    assert_true(refresh(w));
    fakeredis_set_refusing(w->store.redis, NULL);
    fakeredis_set_full(w->store.redis, NULL);
}

static void a_failed_refresh_is_reported(void **state)
{
    struct overview_cache_world *w = *state;

    fakeio_fail_next("overview", FAKEIO_LOST_BEFORE, NULL);
    assert_false(refresh(w));
    assert_false(known(w)->known);
    fakeio_fail_next("overview", FAKEIO_LOST_AFTER, NULL);
    assert_false(refresh(w));
    fakeio_fail_next("overview", FAKEIO_REFUSED, "LOADING its data");
    assert_false(refresh(w));
    assert_false(known(w)->known);
    assert_false(known(w)->unreadable);
}

static void a_refusal_that_is_about_one_account_is_an_answer(void **state)
{
    struct overview_cache_world *w = *state;

    fakeio_fail_next("overview", FAKEIO_REFUSED, "NOPERM not you");
    assert_true(refresh(w));
    assert_true(known(w)->unreadable);
    store_do(&w->store, "RPUSH " P "status x");
    w->store.now_ms += 1500;
    assert_true(refresh(w));
    assert_true(known(w)->unreadable);
    assert_int_equal(eta_ms(w, LANE_NORMAL, 1), UINT64_MAX);
    store_do(&w->store, "DEL " P "status");
    w->store.now_ms += 1500;
    assert_true(refresh(w));
    assert_true(known(w)->known);
    assert_false(known(w)->unreadable);
}

static void consumers_are_asked_for_with_the_time_of_redis(void **state)
{
    struct overview_cache_world *w = *state;

    store_do(&w->store,
             "HSET " P "consumers articles/a {\"at\":1699999980000,\"state\":\"running\"}");
    assert_true(refresh(w));
    assert_int_equal(known(w)->overview.consumers.count, 1);
    assert_int_equal(known(w)->overview.consumers.at[0].condition, CONSUMER_RUNNING);
    w->store.now_ms += 11000;
    assert_true(refresh(w));
    assert_int_equal(known(w)->overview.consumers.at[0].condition, CONSUMER_ABSENT);
}

static void refuse_consumers(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, "-NOPERM no permissions to run the 'hgetall' command\r\n");
}

static void who_may_not_read_consumers_sees_the_rest(void **state)
{
    struct overview_cache_world *w = *state;

    store_do(&w->store, "XADD " P "dead * url a");
    fakeio_lie("HGETALL", refuse_consumers);
    assert_true(refresh(w));
    assert_int_equal(known(w)->overview.dead, 1);
    assert_int_equal(known(w)->overview.consumers.count, 0);
}

static void many_who_ask_at_once_ask_redis_once(void **state)
{
    struct overview_cache_world *w = *state;

    for (int i = 0; i < 5; i++)
        overview_cache_refresh(w->overviews, on_refreshed, w);
    store_until(&w->store, w->answers == 5);
    assert_int_equal(w->good, 5);
    assert_int_equal(fakeio_count("overview"), 1);
}

static void it_says_how_far_back_the_history_reaches(void **state)
{
    struct overview_cache_world *w = *state;
    const struct history_reach *h;

    assert_true(refresh(w));
    h = &known(w)->overview.history;
    assert_true(h->known);
    assert_int_equal(h->entries, 0);
    assert_int_equal(h->oldest_ms, 0);
    store_do(&w->store, "XADD " P "history * n 3 jobs a");
    w->store.now_ms += 90000;
    store_do(&w->store, "XADD " P "history * n 2 jobs b");
    store_do(&w->store, "HSET " P "history:size total 12 first 7");
    assert_true(refresh(w));
    h = &known(w)->overview.history;
    assert_int_equal(h->entries, 2);
    assert_int_equal(h->jobs, 5);
    assert_int_equal(h->oldest_ms, 90000);
    store_do(&w->store, "DEL " P "history");
    store_do(&w->store, "SET " P "history x");
    assert_true(refresh(w));
    assert_false(known(w)->overview.history.known);
    assert_int_equal(known(w)->overview.dead, 0);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(an_account_without_keys_is_empty),
        over_redis(it_says_what_is_in_redis),
        over_redis(it_says_how_far_back_the_history_reaches),
        over_redis(the_estimate_knows_what_may_be_sent_at_once_and_the_pace_of_the_rest),
        over_redis(the_age_of_a_huge_entry_is_not_asked_for),
        over_redis(looking_needs_no_memory),
        over_redis(a_failed_refresh_is_reported),
        over_redis(a_refusal_that_is_about_one_account_is_an_answer),
        over_redis(consumers_are_asked_for_with_the_time_of_redis),
        over_redis(who_may_not_read_consumers_sees_the_rest),
        over_redis(many_who_ask_at_once_ask_redis_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
