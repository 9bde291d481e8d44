/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

static void our_own_identity_is_alive_and_has_no_spaces(void **state)
{
    char me[PROCESS_IDENTITY_MAX];

    (void)state;
    process_identity(me);
    assert_null(strchr(me, ' '));
    assert_false(process_is_dead(me));
}

static void two_incarnations_of_one_process_number_differ(void **state)
{
    char a[PROCESS_IDENTITY_MAX], b[PROCESS_IDENTITY_MAX];

    (void)state;
    process_identity(a);
    process_identity(b);
    assert_string_not_equal(a, b);
}

/* Reads the identity of a child from a pipe. The child lives until `hold` is closed. */
static pid_t child_with_identity(char out[PROCESS_IDENTITY_MAX], int *hold)
{
    int answer[2], wait_for[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe(answer), 0);
    assert_int_equal(pipe(wait_for), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(wait_for[1]);
        process_identity(out);
        if (write(answer[1], out, PROCESS_IDENTITY_MAX) < 0)
            _exit(1);
        while (read(wait_for[0], &byte, 1) > 0)
            ;
        _exit(0);
    }
    assert_int_equal(read(answer[0], out, PROCESS_IDENTITY_MAX), PROCESS_IDENTITY_MAX);
    close(answer[0]);
    close(answer[1]);
    close(wait_for[0]);
    *hold = wait_for[1];
    return pid;
}

static void a_child_is_dead_once_it_ended_even_before_it_is_reaped(void **state)
{
    char who[PROCESS_IDENTITY_MAX];
    siginfo_t info;
    int hold;
    pid_t pid = child_with_identity(who, &hold);

    (void)state;
    assert_false(process_is_dead(who));
    close(hold);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(process_is_dead(who)); /* a zombie */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(process_is_dead(who));
}

static void nothing_is_certain_about_other_machines_or_nonsense(void **state)
{
    char who[PROCESS_IDENTITY_MAX];
    char *boot;

    (void)state;
    process_identity(who);
    boot = strchr(who, '/') + 1;
    boot[0] = boot[0] == 'a' ? 'b' : 'a';
    assert_false(process_is_dead(who));
    assert_false(process_is_dead(""));
    assert_false(process_is_dead("host/boot"));
}

static void as_many_files_may_be_open_as_the_process_may_have_at_all(void **state)
{
    struct rlimit before, after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    after = before;
    after.rlim_cur = before.rlim_max / 2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(process_raise_files(), before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_identity_is_alive_and_has_no_spaces),
        cmocka_unit_test(two_incarnations_of_one_process_number_differ),
        cmocka_unit_test(a_child_is_dead_once_it_ended_even_before_it_is_reaped),
        cmocka_unit_test(nothing_is_certain_about_other_machines_or_nonsense),
        cmocka_unit_test(as_many_files_may_be_open_as_the_process_may_have_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
