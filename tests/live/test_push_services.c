/* SPDX-License-Identifier: MIT
 * Jobs for several services from the command line: push, push - and plan. */
#include "command_world.h"

static int setup_services(void **state)
{
    int rc = setup(state);

    setenv("PURGELINE_SERVICES", "S1=news,S2=shop", 1);
    return rc;
}

static void run(struct world *w, int code, const char *command)
{
    int rc = shell_run(&w->shell, "%s", command);

    if (rc != code)
        fail_msg("%s: exit code %d\n%s", command, rc, w->shell.err);
}

static void the_option_may_be_repeated(void **state)
{
    struct world *w = *state;

    run(w, 0, "$P push --service news -s S2 a b");
    assert_entry(w, NORMAL, 0, "service=news service=S2 keys=a b");
    run(w, 1, "$P push --service news --service nosuch a");
    shell_assert_err(&w->shell, "nosuch");
    run(w, 1, "$P push $(for i in $(seq 65); do printf ' -s S%d' $i; done) a");
    shell_assert_err(&w->shell, "service: more than 64 services in one job");
    assert_int_equal(redis_server_int(w->redis, "XLEN " NORMAL), 1);
}

static void a_line_may_name_services_of_its_own(void **state)
{
    struct world *w = *state;

    run(w, 1,
        "printf '%s\\n' '{\"keys\": \"a\", \"service\": [\"S2\"]}' b "
        "'{\"keys\": \"c\", \"service\": [\"S1\", \"S9\"]}' '{\"keys\": \"d\", \"service\": []}' "
        "| $P push --service news --service shop -");
    shell_assert_out(&w->shell, "error: line 3: service: \"S9\" is not a service");
    shell_assert_out(&w->shell, "error: line 4: service: the list is empty");
    assert_int_equal(redis_server_int(w->redis, "XLEN " NORMAL), 2);
    assert_entry(w, NORMAL, 0, "service=S2 keys=a");
    assert_entry(w, NORMAL, 1, "service=news service=shop keys=b");
}

/* A producer's machine need not know the services. */
static void services_that_are_not_configured_are_left_to_the_dispatcher(void **state)
{
    struct world *w = *state;

    unsetenv("PURGELINE_SERVICES");
    run(w, 0, "$P push --service SU1 --service SU2 a");
    assert_entry(w, NORMAL, 0, "service=SU1 service=SU2 keys=a");
    run(w, 0, "$P plan --fresh --json --service SU1 --service SU2 --service SU1 a | tr -d ' \\n'");
    shell_assert_out(&w->shell, "\"requests\":2,\"cost\":2");
}

static void a_plan_has_the_cost_of_each_service(void **state)
{
    struct world *w = *state;

    run(w, 0,
        "$P plan --fresh --json --requests=9 --service news --service shop a b c "
        "| tr -d ' \\n'");
    shell_assert_out(&w->shell, "\"targets\":6,\"merged\":0,\"requests\":2,\"cost\":6");
    shell_assert_out(&w->shell, "\"service\":\"S1\"");
    shell_assert_out(&w->shell, "\"service\":\"S2\"");
    run(w, 0, "$P plan --fresh --json --service news --service S1 a | tr -d ' \\n'");
    shell_assert_out(&w->shell, "\"targets\":1,\"merged\":0,\"requests\":1,\"cost\":1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_option_may_be_repeated, setup_services, teardown),
        cmocka_unit_test_setup_teardown(a_line_may_name_services_of_its_own, setup_services,
                                        teardown),
        cmocka_unit_test_setup_teardown(services_that_are_not_configured_are_left_to_the_dispatcher,
                                        setup_services, teardown),
        cmocka_unit_test_setup_teardown(a_plan_has_the_cost_of_each_service, setup_services,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
