/* SPDX-License-Identifier: MIT
 * What consumers tell about themselves, written to and read from a Redis that others write to, too.
 */
#include "store_world.h"

#include "consumer_state.h"
#include "setting.h"

#define CONSUMERS P "consumers"

struct consumer_state_world {
    struct store_world store;
    struct client *client;
    struct consumer_states read;
};

static int set_up(void **state)
{
    static struct redis_address address;
    struct consumer_state_world *w = alloc_zeroed(1, sizeof(*w));
    struct error err;

    store_open(&w->store);
    assert_int_equal(client_open(&address, &w->client, &err), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct consumer_state_world *w = *state;

    consumer_states_deinit(&w->read);
    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static struct consumer_state example(const char *name)
{
    struct consumer_state s = {.condition = CONSUMER_RUNNING,
                               .source = "redis-list",
                               .topic = "changes",
                               .fetched = 10,
                               .jobs = 7,
                               .ignored = 2,
                               .dead = 1,
                               .committed_ms = 2000};

    snprintf(s.name, sizeof(s.name), "%s", name);
    return s;
}

static void write_state(struct consumer_state_world *w, const char *host,
                        const struct consumer_state *s)
{
    assert_int_equal(consumer_state_write(w->client, "main", host, s), 0);
}

static void read_states(struct consumer_state_world *w)
{
    struct redisReply *r;

    consumer_states_deinit(&w->read);
    assert_int_equal(
        client_ask_words(w->client, (const char *const[]){"HGETALL", CONSUMERS, NULL}, &r), 0);
    consumer_states_take(r, w->store.now_ms, &w->read);
}

static void what_was_written_is_read_and_ages(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    s.condition = CONSUMER_SOURCE_AWAY;
    s.rate_known = s.lag_known = s.oldest_known = true;
    s.per_1000_s = 1500;
    s.lag = 12;
    s.oldest_ms = 400;
    snprintf(s.last_error, sizeof(s.last_error), "gone");
    s.error_ms = 500;
    write_state(w, "web1", &s);
    w->store.now_ms += 3000;
    read_states(w);
    assert_int_equal(w->read.count, 1);
    s = w->read.at[0];
    assert_string_equal(s.name, "articles");
    assert_string_equal(s.source, "redis-list");
    assert_string_equal(s.topic, "changes");
    assert_int_equal(s.condition, CONSUMER_SOURCE_AWAY);
    assert_int_equal(s.fetched, 10);
    assert_int_equal(s.jobs, 7);
    assert_int_equal(s.ignored, 2);
    assert_int_equal(s.dead, 1);
    assert_true(s.rate_known && s.per_1000_s == 1500);
    assert_true(s.lag_known && s.lag == 12);
    assert_true(s.oldest_known && s.oldest_ms == 400);
    assert_int_equal(s.committed_ms, 5000);
    assert_string_equal(s.last_error, "gone");
    assert_int_equal(s.error_ms, 3500);
    assert_int_equal(s.heard_ms, 3000);
    assert_int_equal(s.processes, 1);
}

static void what_is_not_known_stays_so(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    s.committed_ms = NEVER;
    write_state(w, "web1", &s);
    read_states(w);
    s = w->read.at[0];
    assert_false(s.rate_known);
    assert_false(s.lag_known);
    assert_false(s.oldest_known);
    assert_true(s.committed_ms == NEVER);
    assert_string_equal(s.last_error, "");
}

static void who_is_silent_is_absent_and_is_swept_after_an_hour(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    write_state(w, "web1", &s);
    w->store.now_ms += CONSUMER_SILENT_S * 1000;
    read_states(w);
    assert_int_equal(w->read.at[0].condition, CONSUMER_RUNNING);
    w->store.now_ms += 1;
    read_states(w);
    assert_int_equal(w->read.at[0].condition, CONSUMER_ABSENT);
    assert_int_equal(w->read.at[0].processes, 0);
    assert_int_equal(w->read.at[0].jobs, 7);

    s = example("images");
    w->store.now_ms += (CONSUMER_FORGET_S - CONSUMER_SILENT_S) * 1000 - 2;
    write_state(w, "web1", &s);
    assert_int_equal(consumer_state_sweep(w->client, "main"), 0);
    read_states(w);
    assert_int_equal(w->read.count, 2);
    w->store.now_ms += 2;
    assert_int_equal(consumer_state_sweep(w->client, "main"), 0);
    read_states(w);
    assert_int_equal(w->read.count, 1);
    assert_string_equal(w->read.at[0].name, "images");
}

static void nothing_is_left_after_an_hour_without_consumers(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    write_state(w, "web1", &s);
    w->store.now_ms += CONSUMER_FORGET_S * 1000 + 1;
    assert_string_equal(store_ask(&w->store, "EXISTS " CONSUMERS), ":0\r\n");
}

static void who_ends_takes_its_state_with_it(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    write_state(w, "web1", &s);
    write_state(w, "web2", &s);
    consumer_state_remove(w->client, "main", "articles", "web1");
    read_states(w);
    assert_int_equal(w->read.count, 1);
    assert_int_equal(w->read.at[0].processes, 1);
}

static void processes_on_several_hosts_are_added_up_and_the_last_heard_tells_the_rest(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("articles");

    s.lag_known = true;
    s.lag = 5;
    write_state(w, "web2", &s);
    w->store.now_ms += 1000;
    s.lag = 3;
    s.committed_ms = 9000;
    s.condition = CONSUMER_FULL;
    s.rate_known = true;
    s.per_1000_s = 2000;
    write_state(w, "web1", &s);
    s = example("images");
    write_state(w, "web1", &s);
    read_states(w);
    assert_int_equal(w->read.count, 2);
    assert_string_equal(w->read.at[1].name, "images");
    s = w->read.at[0];
    assert_string_equal(s.name, "articles");
    assert_int_equal(s.processes, 2);
    assert_int_equal(s.jobs, 14);
    assert_int_equal(s.fetched, 20);
    assert_int_equal(s.lag, 3);
    assert_int_equal(s.condition, CONSUMER_FULL);
    assert_true(s.rate_known && s.per_1000_s == 2000);
    assert_int_equal(s.committed_ms, 3000);
}

static void what_makes_no_sense_is_left_out(void **state)
{
    struct consumer_state_world *w = *state;

    store_do(&w->store, "HSET " CONSUMERS " articles/a {\"at\":1700000000000,\"jobs\":-5,\"state\":"
                        "\"flying\",\"lag\":\"many\",\"topic\":7}");
    store_do(&w->store, "HSET " CONSUMERS " images/a nonsense b*d/a {} /a {} images/b []");
    store_do(&w->store, "HSET " CONSUMERS " news/a {\"at\":1700000090000,\"state\":\"running\"}");
    read_states(w);
    assert_int_equal(w->read.count, 2);
    assert_string_equal(w->read.at[0].name, "articles");
    assert_int_equal(w->read.at[0].jobs, 0);
    assert_int_equal(w->read.at[0].condition, CONSUMER_ABSENT);
    assert_false(w->read.at[0].lag_known);
    assert_string_equal(w->read.at[0].topic, "");
    /* It has told its state far in the future: it does not count as running for ever. */
    assert_string_equal(w->read.at[1].name, "news");
    assert_int_equal(w->read.at[1].condition, CONSUMER_ABSENT);
}

static void a_configured_consumer_that_tells_nothing_is_absent(void **state)
{
    struct consumer_state_world *w = *state;
    struct consumer_state s = example("images");
    struct config config;
    struct error err;

    config_init(&config);
    for (int i = 0; i < 2; i++)
        assert_int_equal(setting_set(setting_find(SETTING_ACCOUNT, "name"),
                                     setting_list_add(SETTING_ACCOUNT, &config),
                                     i ? "other" : "main", &err),
                         0);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"images", "articles", "elsewhere"};
        void *k = setting_list_add(SETTING_CONSUMER, &config);

        assert_int_equal(setting_set(setting_find(SETTING_CONSUMER, "name"), k, names[i], &err), 0);
        assert_int_equal(setting_set(setting_find(SETTING_CONSUMER, "account"), k,
                                     i == 2 ? "other" : "main", &err),
                         0);
    }
    write_state(w, "web1", &s);
    read_states(w);
    consumer_states_expect(&w->read, &config, "main");
    assert_int_equal(w->read.count, 2);
    assert_string_equal(w->read.at[0].name, "articles");
    assert_int_equal(w->read.at[0].condition, CONSUMER_ABSENT);
    assert_true(w->read.at[0].heard_ms == NEVER);
    assert_int_equal(w->read.at[1].condition, CONSUMER_RUNNING);
    config_deinit(&config);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_and_ages),
        TEST(what_is_not_known_stays_so),
        TEST(who_is_silent_is_absent_and_is_swept_after_an_hour),
        TEST(nothing_is_left_after_an_hour_without_consumers),
        TEST(who_ends_takes_its_state_with_it),
        TEST(processes_on_several_hosts_are_added_up_and_the_last_heard_tells_the_rest),
        TEST(what_makes_no_sense_is_left_out),
        TEST(a_configured_consumer_that_tells_nothing_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
