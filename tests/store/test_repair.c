/* SPDX-License-Identifier: MIT
 * Repairing an account's keys deletes nothing, whatever the keys contain and wherever the repair is
 * interrupted. */
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
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
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

/* Repairs all faults that are found. Returns the first error. */
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

/* Every kind of key is tested with the wrong type. It is moved aside and still exists. */
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

/* It is no longer known what was spent, so the whole budget counts as spent. */
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

/* The account's clock may be ahead of Redis' clock, but not behind it. */
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

static void expect_in_lane(struct repair_world *w, const char *text)
{
    const char *jobs = store_ask(&w->store, "XRANGE " P "jobs:bulk - +");

    if (!strstr(jobs, text))
        fail_msg("%s is not in %s", text, jobs);
}

static void break_off(struct repair_world *w, const char *step, enum fakeio_fault what)
{
    fakeio_fail_next(step, what, NULL);
    assert_int_equal(mend(w), -ENOTCONN);
    client_close(w->client);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
}

/* Checks that no job is left in the keys that were moved aside. */
static void expect_finished(struct repair_world *w)
{
    char names[2048], command[200];
    struct span rest, line;

    expect_sound(w);
    snprintf(names, sizeof(names), "%s", store_ask(&w->store, "KEYS *broken:*"));
    rest = span_str(names);
    while (span_next_word(&rest, '\n', &line)) {
        if (*line.p != 'p')
            continue;
        snprintf(command, sizeof(command), "XLEN %.*s", (int)line.n - 1, line.p);
        store_expect_number(&w->store, command, 0);
    }
}

/* Wherever a repair is interrupted, the next one completes it. */
static void broken_off_it_goes_on(void **state)
{
    static const char *const steps[] = {"XRANGE", "XADD", "XDEL", "lower_last_id"};
    struct repair_world *w = *state;

    for (size_t i = 0; i < 2 * array_len(steps); i++) {
        for (int what = FAKEIO_LOST_BEFORE; what <= FAKEIO_LOST_AFTER; what++) {
            store_do(&w->store, "FLUSHALL");
            if (i % 2) /* with another job, the lane looks sound after the first step */
                store_do(&w->store, "XADD " P "jobs:bulk 5-1 url other");
            store_do(&w->store, "XADD " P "jobs:bulk 999999999999999-0 url far");
            break_off(w, steps[i / 2], (enum fakeio_fault)what);
            w->store.now_ms += 1000;
            assert_int_equal(mend(w), 0);
            expect_finished(w);
            expect_in_lane(w, "far\r\n");
            expect_in_lane(w, "bulk-999999999999999-0");
            if (i % 2)
                expect_in_lane(w, "other\r\n");
            store_do(&w->store, "XADD " P "jobs:bulk * url new");
            expect_sound(w);
        }
    }
}

/* If the lane had to be recreated, its other jobs are under :rest. */
static void what_an_earlier_repair_left_aside_is_told_and_pushed(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "XADD " P "broken:jobs:bulk:5 * url far job bulk-999999999999999-0");
    store_do(&w->store, "XADD " P "broken:jobs:bulk:5:rest 7-1 url near");
    store_do(&w->store, "SET " P "broken:jobs:bulk:6 x");
    store_do(&w->store, "XADD " P "broken:dead:5 * url letter");
    find(w);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->faults[0].key, P "jobs:bulk");
    assert_int_equal(mend(w), 0);
    expect_sound(w);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", 2);
    expect_in_lane(w, "bulk-999999999999999-0");
    expect_in_lane(w, "bulk-7-1");
    store_expect_number(&w->store, "XLEN " P "broken:dead:5", 1);
}

/* A Redis user may have the permissions for a repair but not for SCAN. */
static void without_scan_a_lane_is_mended_all_the_same(void **state)
{
    struct repair_world *w = *state;

    store_do(&w->store, "XADD " P "broken:jobs:bulk:5 * url left job bulk-1-1");
    fakeio_fail_next("SCAN", FAKEIO_REFUSED, "NOPERM no");
    find(w);
    assert_int_equal(w->count, 0);
    store_do(&w->store, "XADD " P "jobs:bulk 999999999999999-0 url far");
    find(w);
    assert_int_equal(w->count, 1);
    fakeio_fail_next("SCAN", FAKEIO_REFUSED, "NOPERM no");
    assert_int_equal(repair_mend(w->client, &w->account, &w->faults[0]), 0);
    expect_in_lane(w, "far\r\n");
    fakeio_fail_next("SCAN", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(repair_find(w->client, "main", w->faults, &w->count), -ENOTCONN);
}

/* Some versions of Redis 7 behave like this. */
static void a_last_id_that_cannot_be_lowered_is_left_behind(void **state)
{
    static const char *const steps[] = {"RENAMENX", "XADD"};
    struct repair_world *w = *state;

    for (size_t i = 0; i < array_len(steps); i++) {
        store_do(&w->store, "FLUSHALL");
        store_do(&w->store, "XADD " P "jobs:bulk 5-1 url near");
        store_do(&w->store, "XADD " P "broken:jobs:bulk:5 * url far job bulk-999999999999999-0");
        fakeio_fail_next("lower_last_id", FAKEIO_REFUSED, "ERR max_deleted_entry_id");
        break_off(w, steps[i], FAKEIO_LOST_AFTER);
        w->store.now_ms += 1000;
        assert_int_equal(mend(w), 0);
        expect_finished(w);
        expect_in_lane(w, "bulk-5-1");
        expect_in_lane(w, "bulk-999999999999999-0");
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
        over_redis(broken_off_it_goes_on),
        over_redis(what_an_earlier_repair_left_aside_is_told_and_pushed),
        over_redis(without_scan_a_lane_is_mended_all_the_same),
        over_redis(a_last_id_that_cannot_be_lowered_is_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
