/* SPDX-License-Identifier: MIT
 * A reload that changes settings of an account is an act in its history: once, by the instance that
 * leads, and without secrets. */
#include "http_world.h"

#include "shell.h"

#define P "purgeline:{main}:"
#define HISTORY "/v1/history?account=main"

static struct shell sh;

static struct world open_noted(void **state, const char *account)
{
    struct world w = world_open(state, account, "");

    shell_open(&sh);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    return w;
}

static void close_noted(struct world *w)
{
    unsetenv("PURGELINE_CONFIG");
    shell_close(&sh);
    world_close(w);
}

/* Returns when the instance has taken its configuration `times` times. */
static void reload(struct world *w, unsigned instance, size_t times)
{
    instance_signal(&w->r->instances[instance], SIGHUP);
    instance_await_said(&w->r->instances[instance], "were reloaded", times);
}

static bool are_noted(struct world *w, size_t count)
{
    const json_t *told = http_expect(w->h, 200, "GET", HISTORY, NULL, NULL)->json;

    return json_array_size(json_object_get(told, "acts")) == count;
}

/* The newest act. */
static const json_t *newest(struct world *w)
{
    const json_t *told = http_expect(w->h, 200, "GET", HISTORY, NULL, NULL)->json;

    return json_array_get(json_object_get(told, "acts"), 0);
}

static void expect_newest(struct world *w, const char *settings)
{
    const json_t *act = newest(w);
    char host[256] = "", *by, *text = json_dumps(json_object_get(act, "settings"), JSON_COMPACT);

    gethostname(host, sizeof(host) - 1);
    by = alloc_printf("instance %s", host);
    assert_string_equal(json_string_value(json_object_get(act, "act")), "reload");
    assert_string_equal(json_string_value(json_object_get(act, "by")), by);
    assert_string_equal(text, settings);
    free(text);
    free(by);
}

static void a_change_of_the_account_is_noted_once(void **state)
{
    struct world w = open_noted(state, "    budget: {purges: 5000}\n");

    rig_configure(w.r, "    budget: {purges: 2000}\n    allow_purge_all: true\n", HTTP_LISTENS);
    reload(&w, 0, 1);
    rig_await(w.r, are_noted(&w, 1));
    expect_newest(&w, "[{\"name\":\"allow_purge_all\",\"from\":false,\"to\":true},"
                      "{\"name\":\"budget.purges\",\"from\":5000,\"to\":2000}]");
    reload(&w, 0, 2); /* nothing has changed */
    rig_configure(w.r, "    budget: {purges: 2000}\n    allow_purge_all: true\n",
                  HTTP_LISTENS "http: {idle_s: 33}\n");
    reload(&w, 0, 3); /* nothing of the account */
    rig_configure(w.r, "    direct_hosts: [www.example.com]\n    budget: {purges: 2000}\n",
                  HTTP_LISTENS);
    reload(&w, 0, 4);
    rig_await(w.r, are_noted(&w, 2));
    expect_newest(&w, "[{\"name\":\"allow_purge_all\",\"from\":true,\"to\":false},"
                      "{\"name\":\"direct_hosts\"}]");
    assert_int_equal(shell_run(&sh, "$P history --acts"), 0);
    shell_assert_out(&sh, "reloaded  by instance ");
    shell_assert_out(&sh, ": allow_purge_all false -> true, budget.purges 5000 -> 2000\n");
    shell_assert_out(&sh, ": allow_purge_all true -> false, direct_hosts\n");
    assert_int_equal(shell_run(&sh, "$P history --producer \"instance $(hostname)\" -j | wc -l"),
                     0);
    assert_string_equal(sh.out, "2\n");
    close_noted(&w);
}

static void write_token(const char *token)
{
    assert_int_equal(shell_run(&sh, "umask 077; echo '%s' > $D/token", token), 0);
}

static void a_new_token_is_noted_without_it(void **state)
{
    static const char next[] = "another-secret-token";
    struct world w = {.r = rig_open(state, "", "")};
    char *lines;

    shell_open(&sh);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    write_token(sandbox_token(w.r->sandbox));
    lines = alloc_printf("    token_file: %s/token\n", sh.folder);
    rig_configure(w.r, lines, HTTP_LISTENS);
    w.h = http_serve(w.r, 0);
    write_token(next);
    reload(&w, 0, 1);
    rig_await(w.r, are_noted(&w, 1));
    expect_newest(&w, "[{\"name\":\"token\"}]");
    assert_int_equal(shell_run(&sh, "$P history -j; $P status --json; true"), 0);
    assert_null(strstr(sh.out, next));
    assert_null(strstr(sh.out, sandbox_token(w.r->sandbox)));
    assert_int_equal(instance_said(&w.r->instances[0], next), 0);
    free(lines);
    close_noted(&w);
}

/* All instances of an account read the same file, one after the other. */
static void of_several_instances_only_the_leader_notes_it(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct world w = {.r = r};

    rig_start_leading(r, 0);
    rig_start(r, 1);
    instance_await_said(&r->instances[1], "Connected to Redis", 1);
    for (int i = 1; i <= 2; i++) {
        rig_configure(r, i == 1 ? "    attempts: 7\n" : "    attempts: 8\n", "");
        reload(&w, 1, (size_t)i);
        reload(&w, 0, (size_t)i);
        rig_await(r, redis_server_int(r->redis, "XLEN " P "history") == i);
    }
    rig_close(r);
}

static void without_a_history_nothing_is_noted(void **state)
{
    struct world w = open_noted(state, "    history_jobs: 0\n");

    rig_configure(w.r, "    history_jobs: 0\n    attempts: 7\n", HTTP_LISTENS);
    reload(&w, 0, 1);
    rig_configure(w.r, "    attempts: 8\n", HTTP_LISTENS);
    reload(&w, 0, 2);
    rig_await(w.r, are_noted(&w, 1));
    close_noted(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_change_of_the_account_is_noted_once),
        rig_test(a_new_token_is_noted_without_it),
        rig_test(of_several_instances_only_the_leader_notes_it),
        rig_test(without_a_history_nothing_is_noted),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
