/* SPDX-License-Identifier: MIT
 * Redis is connected but refuses commands: this is logged once, the instance is not ready but
 * alive, status and metrics show it, check names the key, and check --repair repairs it without
 * deleting anything. */
#include "http_world.h"

#include "shell.h"

#define P "purgeline:{main}:"
#define BUDGET                                                                                     \
    "    budget: {purges: 1000, per_s: 5, burst: 100}\n    writes: {requests: 10, per_s: 5}\n"

static struct shell sh;

/* An instance with an HTTP endpoint that does not have to become ready. */
static struct world open_unready(void **state)
{
    struct world w = {.r = rig_open(state, BUDGET, HTTP_LISTENS)};

    shell_open(&sh);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    return w;
}

static void start(struct world *w)
{
    rig_start(w->r, 0);
    instance_await_said(&w->r->instances[0], "endpoint listens", 1);
    w->h = http_of(w->r, 0, "http", NULL);
}

static void close_all(struct world *w)
{
    unsetenv("PURGELINE_CONFIG");
    shell_close(&sh);
    world_close(w);
}

static bool is_ready(struct world *w)
{
    return http_do(w->h, "GET", "/readyz", NULL, NULL)->status == 200;
}

static bool unready_says(struct world *w, const char *word)
{
    const struct http_reply *r = http_do(w->h, "GET", "/readyz", NULL, NULL);

    return r->status == 503 && strstr(http_text(r, "detail"), word);
}

static bool has_metric(struct world *w, const char *line)
{
    return strstr(http_expect(w->h, 200, "GET", "/metrics", NULL, NULL)->body, line);
}

static long long broken_keys(struct world *w)
{
    return redis_server_int(w->r->redis, "EVAL %s 0",
                            "return #redis.call('KEYS', 'purgeline:{main}:broken:*')");
}

static void assert_unwell(struct world *w, const char *key)
{
    rig_await(w->r, unready_says(w, key));
    http_expect(w->h, 200, "GET", "/livez", NULL, NULL);
    assert_true(has_metric(w, "purgeline_stalled{account=\"main\"} 1"));
    assert_true(has_metric(w, "purgeline_trouble{account=\"main\",kind=\"key\"} 1"));
    rig_await(w->r, shell_run(&sh, "$P status") == 1);
    assert_int_equal(shell_run(&sh, "$P check"), 1);
    shell_assert_out(&sh, key);
    shell_assert_out(&sh, "check --repair");
}

static void repair(struct world *w)
{
    assert_int_equal(broken_keys(w), 0);
    assert_int_equal(shell_run(&sh, "$P check --repair < /dev/null"), 1);
    shell_assert_out(&sh, "left as it is");
    assert_int_equal(broken_keys(w), 0);
    assert_int_equal(shell_run(&sh, "$P check --repair --yes"), 0);
    shell_assert_out(&sh, "done");
    assert_true(broken_keys(w) > 0);
}

static void assert_well_again(struct world *w, const char *key)
{
    char *over = alloc_printf("No longer: The key %s", key);

    rig_await(w->r, is_ready(w));
    instance_await_said(&w->r->instances[0], over, 1);
    assert_int_equal(instance_said(&w->r->instances[0], over), 1);
    rig_await(w->r, shell_run(&sh, "$P status") == 0);
    assert_true(has_metric(w, "purgeline_stalled{account=\"main\"} 0"));
    free(over);
}

/* How many times the problem itself was logged. */
static size_t complaints(struct world *w, const char *key)
{
    char *text = alloc_printf("error \"The key %s", key);
    size_t n = instance_said(&w->r->instances[0], text);

    free(text);
    return n;
}

static void a_broken_key_is_said_once_and_mended(void **state)
{
    static const struct {
        const char *key, *how;
    } cases[] = {
        {P "budget", "SET %s surprise"},
        {P "budget", "HSET %s purge:open many"},
        {P "budget", "HSET %s clock yesterday clock_at 1 clock_wall 1"},
        {P "cancelled", "SET %s surprise"},
        {P "lease", "RPUSH %s surprise"},
        {P "lease", "SET %s somebody"},
        {P "control", "SET %s surprise"},
        {P "later", "SET %s surprise"},
        {P "postponed", "SET %s surprise"},
        {P "postponed:jobs", "SET %s surprise"},
        {P "places", "SET %s surprise"},
        {P "dead", "SET %s surprise"},
        {P "spent:purge", "SET %s surprise"},
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        struct world w = open_unready(state);
        struct job j;

        print_message("%s\n", cases[i].how);
        redis_server_do(w.r->redis, cases[i].how, cases[i].key);
        j = rig_push(w.r, "normal", "keys", "k", NULL);
        start(&w);
        assert_unwell(&w, cases[i].key);
        repair(&w);
        assert_well_again(&w, cases[i].key);
        rig_await_ended(w.r, &j, "purged");
        assert_int_equal(complaints(&w, cases[i].key), 1);
        close_all(&w);
    }
}

static void a_key_that_breaks_under_the_leader_is_said_and_mended(void **state)
{
    struct world w = open_unready(state);
    struct job j;

    start(&w);
    rig_await(w.r, is_ready(&w));
    redis_server_do(w.r->redis, "SET " P "budget surprise");
    j = rig_push(w.r, "normal", "keys", "k", NULL);
    assert_unwell(&w, P "budget");
    repair(&w);
    assert_well_again(&w, P "budget");
    rig_await_ended(w.r, &j, "purged");
    assert_int_equal(complaints(&w, P "budget"), 1);
    close_all(&w);
}

/* After the budget was moved aside, nothing may be sent for one window, because it is unknown what
 * was spent. */
static void counting_anew_assumes_that_the_whole_budget_was_spent(void **state)
{
    struct world w = open_unready(state);
    struct job j;

    redis_server_do(w.r->redis, "SET " P "budget surprise");
    assert_int_equal(shell_run(&sh, "$P check --repair --yes"), 0);
    shell_assert_out(&sh, "the whole budget counts as spent");
    j = rig_push(w.r, "urgent", "keys", "k", NULL);
    start(&w);
    rig_await_ended(w.r, &j, "purged");
    {
        const struct request *q = requests_find(&w.r->requests, "k", 0);
        char *spent =
            redis_server_str(w.r->redis, "EVAL %s 1 " P "spent:purge",
                             "return redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][2][4]");

        assert_non_null(q);
        assert_true(j.ms >= strtoull(spent, NULL, 10));
        free(spent);
    }
    close_all(&w);
}

static void a_lane_of_another_type_is_named(void **state)
{
    struct world w = open_unready(state);

    redis_server_do(w.r->redis, "SET " P "jobs:bulk surprise");
    start(&w);
    instance_await_said(&w.r->instances[0], P "jobs:bulk: WRONGTYPE", 1);
    rig_await(w.r, unready_says(&w, P "jobs:bulk"));
    http_expect(w.h, 200, "GET", "/livez", NULL, NULL);
    assert_true(has_metric(&w, "purgeline_stalled{account=\"main\"} 1"));
    assert_int_equal(shell_run(&sh, "$P status"), 1);
    assert_int_equal(shell_run(&sh, "$P check"), 1);
    shell_assert_out(&sh, P "jobs:bulk holds a string where a stream belongs");
    repair(&w);
    rig_await(w.r, is_ready(&w));
    close_all(&w);
}

/* Jobs are purged all the same, but who asks for the end of one may not find it. */
static void a_history_of_another_type_is_named_and_mended(void **state)
{
    struct world w = open_unready(state);
    struct job j;

    redis_server_do(w.r->redis, "SET " P "history surprise");
    start(&w);
    j = rig_push(w.r, "normal", "keys", "before", NULL);
    rig_await_ended(w.r, &j, "purged");
    assert_unwell(&w, P "history");
    assert_int_equal(shell_run(&sh, "$P check"), 1);
    shell_assert_out(&sh, P "history holds a string where a stream belongs");
    repair(&w);
    assert_well_again(&w, P "history");
    j = rig_push(w.r, "normal", "keys", "after", NULL);
    rig_await_ended(w.r, &j, "purged");
    assert_int_equal(shell_run(&sh, "$P history --json"), 0);
    shell_assert_out(&sh, j.id);
    close_all(&w);
}

/* After an id from the far future, all later ids of the lane are even higher. */
static void an_id_beyond_any_clock_is_said_and_mended(void **state)
{
    struct world w = open_unready(state);
    struct job first, second;

    start(&w);
    rig_await(w.r, is_ready(&w));
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 281474976710656-0 keys far");
    first = rig_push(w.r, "normal", "keys", "buried", NULL);
    rig_await_ended(w.r, &first, "dead");
    assert_unwell(&w, P "jobs:normal");
    assert_int_equal(shell_run(&sh, "$P check --repair --yes"), 0);
    second = rig_push(w.r, "normal", "keys", "k", NULL);
    assert_true(second.ms < 1ull << 48);
    rig_await_ended(w.r, &second, "purged");
    assert_well_again(&w, P "jobs:normal");
    close_all(&w);
}

static void jobs_with_such_ids_are_purged_under_new_ones(void **state)
{
    struct world w = open_unready(state);

    redis_server_do(w.r->redis, "XADD " P "jobs:normal 281474976710656-7 keys far");
    redis_server_do(w.r->redis, "XADD " P "jobs:normal * keys farther");
    assert_int_equal(shell_run(&sh, "$P check --repair --yes"), 0);
    start(&w);
    rig_await(w.r, requests_naming(&w.r->requests, "far", 200) == 1);
    rig_await(w.r, requests_naming(&w.r->requests, "farther", 200) == 1);
    rig_await_ended(w.r, &(struct job){.id = "normal-281474976710656-7"}, "purged");
    assert_int_equal(rig_dead_count(w.r), 0);
    close_all(&w);
}

static void a_full_redis_is_not_ready_and_says_so(void **state)
{
    struct world w = open_unready(state);

    start(&w);
    rig_await(w.r, is_ready(&w));
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    rig_await(w.r, unready_says(&w, "at its maxmemory"));
    http_expect(w.h, 200, "GET", "/livez", NULL, NULL);
    assert_true(has_metric(&w, "purgeline_trouble{account=\"main\",kind=\"full\"} 1"));
    rig_await(w.r, shell_run(&sh, "$P status") == 1);
    shell_assert_out(&sh, "at its maxmemory");
    assert_int_equal(shell_run(&sh, "$P check"), 1);
    shell_assert_out(&sh, "it takes no new jobs");
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    rig_await(w.r, is_ready(&w));
    assert_int_equal(instance_said(&w.r->instances[0], "error \"Redis is at its maxmemory"), 1);
    close_all(&w);
}

static void a_policy_that_evicts_set_at_run_time_is_noticed(void **state)
{
    struct world w = open_unready(state);

    start(&w);
    rig_await(w.r, is_ready(&w));
    redis_server_do(w.r->redis, "CONFIG SET maxmemory-policy allkeys-lru");
    rig_await(w.r, unready_says(&w, "may evict jobs"));
    rig_await(w.r, redis_server_int(w.r->redis, "EXISTS " P "lease") == 0);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory-policy noeviction");
    rig_await(w.r, is_ready(&w));
    assert_int_equal(instance_said(&w.r->instances[0], "error \"This Redis may evict"), 1);
    close_all(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_broken_key_is_said_once_and_mended),
        rig_test(a_key_that_breaks_under_the_leader_is_said_and_mended),
        rig_test(counting_anew_assumes_that_the_whole_budget_was_spent),
        rig_test(a_lane_of_another_type_is_named),
        rig_test(a_history_of_another_type_is_named_and_mended),
        rig_test(an_id_beyond_any_clock_is_said_and_mended),
        rig_test(jobs_with_such_ids_are_purged_under_new_ones),
        rig_test(a_full_redis_is_not_ready_and_says_so),
        rig_test(a_policy_that_evicts_set_at_run_time_is_noticed),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
