/* SPDX-License-Identifier: MIT */
#include "command_world.h"

/* Runs the command, whose output must be JSON. `code` is the expected exit code. */
static json_t *plan(struct world *w, int code, const char *line)
{
    int got = shell_run(&w->shell, "%s", line);

    if (got != code)
        fail_msg("%s returned %d: %s%s", line, got, w->shell.out, w->shell.err);
    return json_of(w->shell.out);
}

static long long number(json_t *j, const char *object, const char *member, const char *name)
{
    json_t *o = json_object_get(j, object);

    if (member)
        o = json_object_get(o, member);
    o = json_object_get(o, name);
    if (!json_is_integer(o))
        fail_msg("no number %s.%s.%s", object, member ? member : "", name);
    return json_integer_value(o);
}

static void push_hundred(struct world *w)
{
    assert_int_equal(shell_run(&w->shell, "seq 100 | $P push -q -l bulk -f -"), 0);
    assert_int_equal(shell_run(&w->shell, "seq 50 | $P push -q -l normal -n 10 -f -"), 0);
}

static void the_backlog_is_planned_and_left_alone(void **state)
{
    struct world *w = *state;
    json_t *j;

    push_hundred(w);
    j = plan(w, 0, "$P plan --backlog --json");
    assert_int_equal(number(j, "lanes", "bulk", "jobs"), 100);
    assert_int_equal(number(j, "lanes", "normal", "jobs"), 5);
    assert_int_equal(number(j, "total", NULL, "targets"), 150);
    assert_int_equal(number(j, "total", NULL, "merged"), 50);
    assert_int_equal(number(j, "budget", "purge", "cost"), 100);
    assert_int_equal(number(j, "urgent", NULL, "wait_ms"), 0);
    json_decref(j);
    assert_int_equal(length(w, BULK), 100);
    assert_int_equal(length(w, NORMAL), 5);
    assert_int_equal(redis_server_int(w->redis, "EXISTS purgeline:{main}:lease"), 0);
    assert_int_equal(shell_run(&w->shell, "$P plan -b | grep -q 'no instance dispatches'"), 0);
}

static void an_entry_that_cannot_be_understood_is_named(void **state)
{
    struct world *w = *state;
    json_t *j;

    redis_server_do(w->redis, "XADD " NORMAL " 5-0 keys a tyop 1");
    redis_server_do(w->redis, "XADD " NORMAL " 6-0 keys a");
    j = plan(w, 1, "$P plan --backlog --json");
    assert_int_equal(number(j, "exceptions", NULL, "refused"), 1);
    assert_int_equal(number(j, "lanes", "normal", "jobs"), 1);
    json_decref(j);
    assert_int_equal(shell_run(&w->shell, "$P plan --backlog"), 1);
    shell_assert_out(&w->shell, "normal-5-0: tyop: unknown field");
}

static void what_redis_knows_of_the_budget_counts_unless_it_is_to_be_fresh(void **state)
{
    struct world *w = *state;
    json_t *j;

    redis_server_do(w->redis, "XADD purgeline:{main}:spent:purge * c 99000");
    redis_server_do(w->redis, "HSET purgeline:{main}:budget purge:open 10 purge:level 5000000000 "
                              "purge:level_at 0");
    j = plan(w, 0, "$P plan --json a b");
    assert_int_equal(number(j, "budget", "purge", "spent"), 99010);
    assert_int_equal(number(j, "budget", "purge", "left"), 990);
    assert_int_equal(number(j, "budget", "purge", "left_then"), 988);
    json_decref(j);
    j = plan(w, 0, "$P plan --json --fresh a b");
    assert_int_equal(number(j, "budget", "purge", "left"), 100000);
    json_decref(j);
}

static void more_bookings_than_one_page_are_all_counted(void **state)
{
    struct world *w = *state;
    json_t *j;

    for (int i = 0; i < 2001; i++)
        redis_server_do(w->redis, "XADD purgeline:{main}:spent:purge * c 1");
    j = plan(w, 0, "$P plan --json a");
    assert_int_equal(number(j, "budget", "purge", "spent"), 2001);
    json_decref(j);
}

static void a_list_is_what_push_takes_and_nothing_is_pushed(void **state)
{
    struct world *w = *state;
    json_t *j;

    j = plan(w, 0,
             "printf 'a b\\nhttps://example.com/\\n{\"keys\":[\"a\"],\"lane\":\"urgent\"}\\n'"
             " | $P plan --json --requests --file -");
    assert_int_equal(number(j, "lanes", "urgent", "jobs"), 1);
    assert_int_equal(number(j, "total", NULL, "jobs"), 3);
    assert_int_equal(number(j, "total", NULL, "merged"), 1);
    assert_int_equal(number(j, "total", NULL, "requests"), 3); /* a is urgent now, b is not */
    assert_int_equal(json_array_size(json_object_get(j, "requests")), 3);
    json_decref(j);
    assert_int_equal(redis_server_int(w->redis, "DBSIZE"), 0);
}

static void a_line_that_push_would_refuse_is_named(void **state)
{
    struct world *w = *state;
    json_t *j;

    assert_int_equal(shell_run(&w->shell, "printf 'a\\n{\"kyes\":\"b\"}\\n' | $P plan -f -"), 1);
    shell_assert_err(&w->shell, "line 2: kyes: unknown field");
    shell_assert_out(&w->shell, "account main");
    j = plan(w, 1, "printf 'a\\n{\"kyes\":\"b\"}\\n{\"keys\":7,\\n' | $P plan -j -f - 2>/dev/null");
    assert_int_equal(number(j, "exceptions", NULL, "refused"), 2);
    json_decref(j);
}

static void without_redis_a_list_is_planned_and_a_backlog_is_not(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P plan --redis unix:///nowhere a"), 0);
    shell_assert_err(&w->shell, "nothing counts as spent");
    assert_int_equal(shell_run(&w->shell, "$P plan --fresh --redis unix:///nowhere a"), 0);
    assert_string_equal(w->shell.err, "");
    assert_int_equal(shell_run(&w->shell, "$P plan --redis unix:///nowhere --backlog"), 3);
}

static void arguments_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P plan"), 2);
    assert_int_equal(shell_run(&w->shell, "$P plan --backlog a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P plan --reply-ms 600001 a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P plan --requests=1001 a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P plan --account other a"), 2);
}

static void a_backlog_beyond_the_window_is_planned_to_its_end(void **state)
{
    struct world *w = *state;
    json_t *j;

    assert_int_equal(shell_run(&w->shell, "seq 5000 | $P push -q -l bulk -f -"), 0);
    j = plan(w, 0, "PURGELINE_WINDOW=1000 PURGELINE_BUDGET_BURST=2000 $P plan --backlog --json");
    assert_int_equal(number(j, "lanes", "bulk", "cost"), 5000);
    assert_true(json_is_true(json_object_get(json_object_get(j, "exceptions"), "windowed")));
    assert_true(number(j, "lanes", "bulk", "done_ms") > 60000);
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_backlog_is_planned_and_left_alone),
        T(an_entry_that_cannot_be_understood_is_named),
        T(what_redis_knows_of_the_budget_counts_unless_it_is_to_be_fresh),
        T(more_bookings_than_one_page_are_all_counted),
        T(a_list_is_what_push_takes_and_nothing_is_pushed),
        T(a_line_that_push_would_refuse_is_named),
        T(without_redis_a_list_is_planned_and_a_backlog_is_not),
        T(arguments_that_make_no_sense_are_refused),
        T(a_backlog_beyond_the_window_is_planned_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
