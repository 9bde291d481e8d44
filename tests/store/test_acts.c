/* SPDX-License-Identifier: MIT
 * What people do to an account is in its history, and is done whether or not it can be noted. */
#include "store_world.h"

#include <jansson.h>

#include "control.h"
#include "deadletter_filter.h"
#include "history_read.h"

#define HISTORY P "history"
#define FIRST "1700000000000-0"

static struct config_account account;
static const struct actor ops = {&account, "ops from 10.0.0.1"};
static const struct deadletter_filter every = {.up_to = NULL};

struct acts_world {
    struct store_world store;
    struct client *client;
};

static int set_up(void **state)
{
    struct acts_world *w = alloc_zeroed(1, sizeof(*w));

    account =
        (struct config_account){.name = (char *)"main", .history_jobs = 3, .history_ttl_s = 60};
    store_open(&w->store);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct acts_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static void bury(struct acts_world *w, const char *reason)
{
    char command[200];

    snprintf(command, sizeof(command),
             "XADD " P "dead * url a dead_reason %s dead_job urgent-5-1 dead_at 7 dead_target a",
             reason);
    store_do(&w->store, command);
}

/* -- what the history says -- */

static int on_line(void *ctx, json_t *j)
{
    json_array_append_new(ctx, j);
    return 0;
}

/* Compares the lines, newest first, as a JSON array. */
static void expect_history(struct acts_world *w, const char *wanted)
{
    struct history_filter any = {.acts = true};
    struct history_wanted *all = history_wanted_new(&any);
    struct history_query q = {.account = "main", .wanted = all};
    json_t *found = json_array(), *expected = json_loads(wanted, 0, NULL);
    char *text;

    assert_non_null(expected);
    assert_int_equal(history_read(w->client, &q, on_line, found), 0);
    text = json_dumps(found, JSON_COMPACT);
    if (!json_equal(found, expected))
        fail_msg("found %s", text);
    free(text);
    json_decref(found);
    json_decref(expected);
    history_wanted_free(all);
}

#define AT "\"at\":1700000000000,\"by\":\"ops from 10.0.0.1\""

static void a_pause_and_its_end_say_who_and_why(void **state)
{
    struct acts_world *w = *state;

    assert_int_equal(control_set(w->client, &ops, CONTROL_PAUSED, "a \"new\" \xff"), 0);
    store_expect(&w->store, "HMGET " P "control paused by",
                 "*2\r\n$1\r\n1\r\n$17\r\nops from 10.0.0.1\r\n");
    assert_int_equal(control_set(w->client, &ops, CONTROL_GOES_ON, ""), 0);
    store_expect(&w->store, "HGET " P "control paused", "$1\r\n0\r\n");
    expect_history(w, "[{\"act\":\"resume\"," AT "},{\"act\":\"pause\"," AT
                      ",\"why\":\"a \\\"new\\\" \\u00ff\"}]");
    assert_int_equal(fakeio_count("act"), 2); /* one round trip each */
    assert_int_equal(fakeio_count("HSET"), 0);
}

static void letters_are_counted_and_their_filter_is_told(void **state)
{
    struct deadletter_filter f = {
        .account = &account, .reason = SPAN("50"), .target = SPAN("a"), .since_ms = 1};
    struct acts_world *w = *state;
    uint64_t done;

    for (int i = 0; i < 100; i++) /* more than one command handles */
        bury(w, "503");
    assert_int_equal(
        deadletter_act_all(w->client, &ops, &f, DEADLETTER_RETRY, DEADLETTER_COUNT, &done, NULL),
        0);
    expect_history(w, "[]");
    assert_int_equal(
        deadletter_act_all(w->client, &ops, &f, DEADLETTER_RETRY, DEADLETTER_DO, &done, NULL), 0);
    bury(w, "404");
    assert_int_equal(
        deadletter_act_all(w->client, &ops, &f, DEADLETTER_DROP, DEADLETTER_DO, &done, NULL), 0);
    assert_int_equal(done, 0);
    assert_int_equal(
        deadletter_act_all(w->client, &ops, &every, DEADLETTER_DROP, DEADLETTER_DO, &done, NULL),
        0);
    store_do(&w->store, "DEL " P "dead");
    bury(w, "404");
    assert_int_equal(
        deadletter_retry(w->client, &ops, (const char *[]){"1700000000000-0", "5-5"}, 2, &done), 0);
    expect_history(w, "[{\"act\":\"dead_retry\"," AT ",\"count\":1},"
                      "{\"act\":\"dead_drop\"," AT ",\"count\":1,\"all\":true},"
                      "{\"act\":\"dead_retry\"," AT ",\"count\":100,\"filter\":"
                      "{\"reason\":\"50\",\"target\":\"a\",\"since\":1}}]");
    assert_int_equal(fakeio_count("act"), 3);
}

static void what_was_done_before_a_refusal_is_noted(void **state)
{
    struct acts_world *w = *state;
    uint64_t done;

    for (int i = 0; i < 8 + 1; i++) /* one more than a first page */
        bury(w, "503");
    store_do(&w->store, "XADD " P "dead * url b dead_job bulk-5-1");
    store_do(&w->store, "SET " P "jobs:bulk x");
    assert_int_equal(
        deadletter_act_all(w->client, &ops, &every, DEADLETTER_RETRY, DEADLETTER_DO, &done, NULL),
        -EIO);
    assert_int_equal(done, 8);
    assert_non_null(strstr(client_error(w->client), "WRONGTYPE"));
    expect_history(w, "[{\"act\":\"dead_retry\"," AT ",\"count\":8,\"all\":true}]");
}

static void acts_count_for_the_limit(void **state)
{
    struct acts_world *w = *state;

    for (int i = 0; i < 5; i++)
        assert_int_equal(control_set(w->client, &ops, CONTROL_GOES_ON, ""), 0);
    store_expect_number(&w->store, "XLEN " HISTORY, 3);
    store_expect(&w->store, "HMGET " HISTORY ":size total first", "*2\r\n$1\r\n5\r\n$1\r\n2\r\n");
}

static void without_a_history_nothing_is_noted(void **state)
{
    struct acts_world *w = *state;
    uint64_t done;

    account.history_jobs = 0;
    bury(w, "503");
    assert_int_equal(control_set(w->client, &ops, CONTROL_PAUSED, "why"), 0);
    assert_int_equal(deadletter_drop(w->client, &ops, (const char *[]){FIRST}, 1, &done), 0);
    assert_int_equal(done, 1);
    assert_int_equal(fakeio_count("act"), 0);
    store_expect_number(&w->store, "EXISTS " HISTORY " " HISTORY ":size", 0);
}

static void a_broken_history_stops_nobody(void **state)
{
    struct acts_world *w = *state;
    uint64_t done;

    store_do(&w->store, "SET " HISTORY " x");
    bury(w, "503");
    assert_int_equal(control_set(w->client, &ops, CONTROL_PAUSED, "why"), 0);
    store_expect(&w->store, "HGET " P "control paused", "$1\r\n1\r\n");
    assert_int_equal(deadletter_drop(w->client, &ops, (const char *[]){FIRST}, 1, &done), 0);
    assert_int_equal(done, 1);
    assert_string_equal(client_error(w->client), "");
}

/* The user of 0.1.0 may not do all that the script does. */
static void who_may_not_note_may_still_pause(void **state)
{
    struct acts_world *w = *state;

    fakeio_fail_next("act", FAKEIO_REFUSED, "NOPERM no");
    assert_int_equal(control_set(w->client, &ops, CONTROL_PAUSED, "why"), 0);
    store_expect(&w->store, "HMGET " P "control paused why", "*2\r\n$1\r\n1\r\n$3\r\nwhy\r\n");
    fakeio_fail_next("act", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(control_set(w->client, &ops, CONTROL_GOES_ON, ""), -ENOTCONN);
    store_expect(&w->store, "HGET " P "control paused", "$1\r\n0\r\n");
}

static void without_free_memory_acts_are_done_and_noted(void **state)
{
    struct acts_world *w = *state;
    uint64_t done;

    bury(w, "503");
    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(control_set(w->client, &ops, CONTROL_PAUSED, "full"), 0);
    assert_int_equal(deadletter_drop(w->client, &ops, (const char *[]){FIRST}, 1, &done), 0);
    assert_int_equal(done, 1);
    fakeredis_set_full(w->store.redis, NULL);
    expect_history(w, "[{\"act\":\"dead_drop\"," AT ",\"count\":1},{\"act\":\"pause\"," AT
                      ",\"why\":\"full\"}]");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_pause_and_its_end_say_who_and_why),     T(letters_are_counted_and_their_filter_is_told),
        T(what_was_done_before_a_refusal_is_noted), T(acts_count_for_the_limit),
        T(without_a_history_nothing_is_noted),      T(a_broken_history_stops_nobody),
        T(who_may_not_note_may_still_pause),        T(without_free_memory_acts_are_done_and_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
