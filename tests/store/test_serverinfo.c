/* SPDX-License-Identifier: MIT
 * The fields of INFO are parsed, and missing fields are empty. */
#include "store_world.h"

#include "client.h"
#include "overview.h"
#include "serverinfo.h"

struct info_world {
    struct store_world store;
    struct client *client;
};

static int set_up(void **state)
{
    struct info_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct info_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static void assert_says(struct span said, const char *words)
{
    assert_int_equal(said.n, strlen(words));
    assert_memory_equal(said.p, words, said.n);
}

static void a_server_tells_its_version_and_how_it_keeps_things(void **state)
{
    struct info_world *w = *state;
    struct serverinfo s;

    fakeredis_set_policy(w->store.redis, "allkeys-lru");
    assert_int_equal(serverinfo_read(w->client, &s), 0);
    assert_says(s.version, "7.0.15");
    assert_true(s.version_known);
    assert_int_equal(s.major, 7);
    assert_int_equal(s.minor, 0);
    assert_says(s.maxmemory_policy, "allkeys-lru");
    assert_int_equal(s.maxmemory, 0);
    assert_true(s.aof);
    assert_says(s.aof_last_write, "");
    assert_says(s.last_snapshot, "");
    serverinfo_deinit(&s);
    fakeredis_set_policy(w->store.redis, "noeviction");
}

static void a_full_server_uses_more_than_its_ceiling(void **state)
{
    struct info_world *w = *state;
    struct serverinfo s;

    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(serverinfo_read(w->client, &s), 0);
    assert_true(s.maxmemory > 0 && s.used_bytes > s.maxmemory);
    serverinfo_deinit(&s);
    fakeredis_set_full(w->store.redis, NULL);
}

static void a_server_that_tells_nothing_is_told_from_one_that_does(void **state)
{
    struct info_world *w = *state;
    struct serverinfo s;

    assert_says(serverinfo_appendfsync(w->client), "always");
    fakeio_fail_next("CONFIG", FAKEIO_REFUSED, "NOPERM no");
    assert_says(serverinfo_appendfsync(w->client), "");
    fakeio_fail_next("INFO", FAKEIO_REFUSED, "NOPERM no");
    assert_int_equal(serverinfo_read(w->client, &s), -EIO);
    assert_string_equal(client_error(w->client), "NOPERM no");
}

static void expect_waits(struct info_world *w, const char *expected)
{
    char *waits = overview_ask_needs_restart(w->client, "main");

    if (expected)
        assert_string_equal(waits, expected);
    else
        assert_null(waits);
    free(waits);
}

static void settings_that_wait_for_a_restart_are_told_in_the_leaders_words(void **state)
{
    struct info_world *w = *state;

    expect_waits(w, NULL);
    store_do(&w->store, "SET " P "status {\"needs_restart\":\"senders,window\"}");
    expect_waits(w, "senders,window");
    store_do(&w->store, "SET " P "status {\"needs_restart\":[]}");
    expect_waits(w, NULL);
    fakeio_fail_next("GET", FAKEIO_REFUSED, "NOPERM no");
    expect_waits(w, NULL);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_server_tells_its_version_and_how_it_keeps_things),
        over_redis(a_full_server_uses_more_than_its_ceiling),
        over_redis(a_server_that_tells_nothing_is_told_from_one_that_does),
        over_redis(settings_that_wait_for_a_restart_are_told_in_the_leaders_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
