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

static bool is_full(const char *info)
{
    struct serverinfo s;
    bool full;

    serverinfo_parse(span_str(info), &s);
    full = s.full;
    serverinfo_deinit(&s);
    return full;
}

static void buffers_of_replicas_do_not_make_a_server_full(void **state)
{
    (void)state;
    assert_false(is_full("maxmemory:100\r\nused_memory:100\r\n"));
    assert_true(is_full("maxmemory:100\r\nused_memory:101\r\n"));
    assert_false(is_full("maxmemory:100\r\nused_memory:108\r\nmem_not_counted_for_evict:8\r\n"));
    assert_true(is_full("maxmemory:100\r\nused_memory:109\r\nmem_not_counted_for_evict:8\r\n"));
    assert_false(is_full("maxmemory:100\r\nused_memory:1\r\nmem_not_counted_for_evict:8\r\n"));
    assert_false(is_full("used_memory:1\r\nmaxmemory:0\r\n"));
    assert_false(is_full(""));
}

static void a_server_may_keep_silent_about_its_append_only_file(void **state)
{
    static const struct {
        const char *info;
        bool aof_known, aof;
    } cases[] = {{"redis_version:7.0.15\r\n", false, false},
                 {"aof_enabled:0\r\n", true, false},
                 {"aof_enabled:1\n", true, true},
                 {"xaof_enabled:1\r\naof_enabled_too:1\r\n", false, false}};

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct serverinfo s;

        serverinfo_parse(span_str(cases[i].info), &s);
        assert_int_equal(s.aof_known, cases[i].aof_known);
        assert_int_equal(s.aof, cases[i].aof);
        serverinfo_deinit(&s);
    }
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
        cmocka_unit_test(buffers_of_replicas_do_not_make_a_server_full),
        cmocka_unit_test(a_server_may_keep_silent_about_its_append_only_file),
        over_redis(a_server_that_tells_nothing_is_told_from_one_that_does),
        over_redis(settings_that_wait_for_a_restart_are_told_in_the_leaders_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
