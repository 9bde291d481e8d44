/* SPDX-License-Identifier: MIT
 * Mending an account's keys: nothing is deleted, whatever is in the way and whenever it breaks off.
 */
#include "store_world.h"

#include "repair.h"

struct repair_world {
    struct store_world store;
    struct config_account account;
    struct client *client;
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    size_t count;
};

static int set_up(void **state)
{
    struct repair_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->account.budget.purges = 100;
    w->account.budget.per_s = 3600;
    w->account.writes.requests = 10;
    w->account.writes.per_s = 3600;
    assert_int_equal(client_open(NULL, &w->client, NULL, 0), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct repair_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static void find(struct repair_world *w)
{
    assert_int_equal(repair_find(w->client, "main", w->faults, &w->count), 0);
}

/* All that is found; the first error. */
static int mend(struct repair_world *w)
{
    int rc = 0;

    find(w);
    for (size_t i = 0; rc == 0 && i < w->count; i++)
        rc = repair_mend(w->client, &w->account, &w->faults[i]);
    return rc;
}

static void expect_sound(struct repair_world *w)
{
    find(w);
    if (w->count)
        fail_msg("%s %s", w->faults[0].key, w->faults[0].what);
}

static void an_account_without_faults_is_left_alone(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    store_do(&w->store, "SET " P "lease me PX 3000");
    store_do(&w->store, "HSET " P "budget clock 5 purge:open 7");
    assert_int_equal(mend(w), 0);
    assert_int_equal(w->count, 0);
    store_expect(&w->store, "KEYS *broken*", "*0\r\n");
}

/* Of each kind of key the wrong one: it is set aside and still there. */
static void keys_of_the_wrong_type_are_set_aside(void **state)
{
    struct repair_world *w = *state;
    char command[100];

    for (size_t i = 0; i < QUEUE_EXAMINED; i++) {
        bool string = strcmp(queue_examined_keys[i], "lease") == 0;

        store_do(&w->store, "FLUSHALL");
        snprintf(command, sizeof(command), string ? "HSET " P "%s x y" : "SET " P "%s x",
                 queue_examined_keys[i]);
        store_do(&w->store, command);
        assert_int_equal(mend(w), 0);
        assert_int_equal(w->count, 1);
        expect_sound(w);
        assert_memory_equal(store_ask(&w->store, "KEYS *broken:*"), "*1\r\n", 4);
    }
}

/* What was spent is not known any more: all of it counts as spent. */
static void a_lost_ledger_is_booked_whole(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "HSET " P "budget purge:open many");
    assert_int_equal(mend(w), 0);
    expect_sound(w);
    store_expect(&w->store, "XRANGE " P "spent:purge - +",
                 "*1\r\n*2\r\n$15\r\n1700000000000-0\r\n*4\r\n$1\r\nc\r\n$3\r\n100\r\n$1\r\nt\r\n"
                 "$13\r\n1700000000000\r\n");
    store_expect_number(&w->store, "XLEN " P "spent:write", 1);
}

/* The clock of the account may be ahead of that of Redis, never behind it. */
static void a_booking_is_at_the_later_of_two_clocks(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "HSET " P "budget clock 1700000009000 clock_at 1699999999000");
    store_do(&w->store, "SET " P "spent:purge x");
    assert_int_equal(mend(w), 0);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "spent:purge - +"), "1700000010000"));
}

static void jobs_of_ids_beyond_any_clock_get_new_ones(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:bulk 5-1 url a");
    store_do(&w->store, "XADD " P "jobs:bulk 999999999999999-0 url b");
    store_do(&w->store, "XADD " P "jobs:bulk * url c");
    assert_int_equal(mend(w), 0);
    expect_sound(w);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", 3);
    store_do(&w->store, "XADD " P "jobs:bulk * url d");
    store_expect(&w->store, "XREVRANGE " P "jobs:bulk + - COUNT 1",
                 "*1\r\n*2\r\n$15\r\n1700000000000-3\r\n*2\r\n$3\r\nurl\r\n$1\r\nd\r\n");
    assert_non_null(
        strstr(store_ask(&w->store, "XRANGE " P "jobs:bulk - +"), "bulk-999999999999999-0"));
}

/* Wherever it breaks off: each job is in its lane, or in what was set aside. */
static void broken_off_it_loses_nothing(void **state)
{
    static const char *const steps[] = {"XRANGE", "XADD", "XDEL", "lower_last_id"};
    struct repair_world *w = *state;

    for (size_t i = 0; i < array_len(steps); i++) {
        for (int what = FAKEIO_LOST_BEFORE; what <= FAKEIO_LOST_AFTER; what++) {
            store_do(&w->store, "FLUSHALL");
            store_do(&w->store, "XADD " P "jobs:bulk 999999999999999-0 url b");
            fakeio_fail_next(steps[i], (enum fakeio_fault)what, NULL);
            assert_int_equal(mend(w), -ENOTCONN);
            client_close(w->client);
            assert_int_equal(client_open(NULL, &w->client, NULL, 0), 0);
            assert_int_equal(mend(w), 0);
            expect_sound(w);
            if (strcmp(store_ask(&w->store, "XLEN " P "jobs:bulk"), ":0\r\n") == 0)
                assert_memory_equal(store_ask(&w->store, "KEYS *broken:*"), "*1\r\n", 4);
        }
    }
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(an_account_without_faults_is_left_alone),
        over_redis(keys_of_the_wrong_type_are_set_aside),
        over_redis(a_lost_ledger_is_booked_whole),
        over_redis(a_booking_is_at_the_later_of_two_clocks),
        over_redis(jobs_of_ids_beyond_any_clock_get_new_ones),
        over_redis(broken_off_it_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
