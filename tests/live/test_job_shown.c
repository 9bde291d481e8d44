/* SPDX-License-Identifier: MIT
 * purgeline job: where a job is by what Redis knows, in words and as JSON. */
#include "command_world.h"

#define P "purgeline:{main}:"
#define JOB "normal-1700000000000-0"

static json_t *told(struct world *w, const char *job)
{
    json_t *j;

    assert_int_equal(shell_run(&w->shell, "$P job --json %s", job), 0);
    j = json_loads(w->shell.out, 0, NULL);
    assert_non_null(j);
    return j;
}

static const char *text_of(const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));

    return text ? text : "";
}

static void a_job_in_its_lane_says_that_nobody_leads_or_who_knows_more(void **state)
{
    struct world *w = *state;
    json_t *j;

    redis_server_do(w->redis, "XADD " NORMAL " 1700000000000-0 keys a");
    assert_int_equal(shell_run(&w->shell, "$P job " JOB), 0);
    shell_assert_out(&w->shell, JOB "  waiting\n");
    shell_assert_out(&w->shell, "  2023-11-14T22:13:20Z  accepted, and stored in Redis\n");
    shell_assert_out(&w->shell, "in the lane normal, which has 1 job\n");
    shell_assert_out(&w->shell, "no instance sends for the account\n");
    j = told(w, JOB);
    assert_string_equal(text_of(j, "state"), "waiting");
    assert_int_equal(json_array_size(json_object_get(j, "timeline")), 3);
    assert_null(json_object_get(j, "leader"));
    json_decref(j);
    redis_server_do(w->redis, "SET " P "lease web-2/boot/1 PX 600000");
    j = told(w, JOB);
    assert_string_equal(text_of(json_object_get(j, "leader"), "instance"), "web-2/boot/1");
    assert_true(json_is_false(json_object_get(json_object_get(j, "leader"), "here")));
    json_decref(j);
    assert_int_equal(shell_run(&w->shell, "$P job " JOB " | awk 'length > 80'"), 0);
    assert_string_equal(w->shell.out, "");
}

static void a_postponed_job_says_until_when(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "ZADD " P "postponed 1900000000000 " JOB);
    assert_int_equal(shell_run(&w->shell, "$P job " JOB), 0);
    shell_assert_out(&w->shell, "postponed, until 2030-03-17T17:46:40Z\n");
}

static void a_job_that_has_ended_shows_its_receipt_without_its_scope(void **state)
{
    struct world *w = *state;
    json_t *j;

    redis_server_do(w->redis, "SET " P "receipt:" JOB " %s",
                    "{\"job\":\"" JOB "\",\"state\":\"dead\",\"at\":1700000001000,"
                    "\"reason\":\"404 \\u001b[2J\",\"ref\":\"mine\",\"scope\":[\"key\"]}");
    assert_int_equal(shell_run(&w->shell, "$P job " JOB), 0);
    shell_assert_out(&w->shell, JOB "  dead\n  ref mine\n");
    shell_assert_out(&w->shell, "  2023-11-14T22:13:21Z  ended: dead\n");
    shell_assert_out(&w->shell, "404 \\x1b[2J\n");
    j = told(w, JOB);
    assert_null(json_object_get(j, "scope"));
    assert_string_equal(text_of(j, "ref"), "mine");
    json_decref(j);
}

static void what_is_no_job_is_refused_in_words(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P job " JOB), 1);
    shell_assert_err(&w->shell, JOB ": not there; it never was, or its receipt has expired");
    assert_int_equal(shell_run(&w->shell, "$P job normal-1"), 2);
    shell_assert_err(&w->shell, "'normal-1': expected an id like normal-1700000000000-0");
    assert_int_equal(shell_run(&w->shell, "$P job"), 2);
    assert_int_equal(shell_run(&w->shell, "$P job " JOB " " JOB), 2);
    shell_assert_err(&w->shell, "expected the id of one job");
    redis_server_do(w->redis, "SET " NORMAL " x");
    assert_int_equal(shell_run(&w->shell, "$P job " JOB), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_in_its_lane_says_that_nobody_leads_or_who_knows_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_postponed_job_says_until_when, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_that_has_ended_shows_its_receipt_without_its_scope,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_job_is_refused_in_words, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
