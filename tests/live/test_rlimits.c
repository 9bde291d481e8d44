/* SPDX-License-Identifier: MIT
 * Resource limits of the process that are too low, at the start and later. The daemon reports them,
 * and continues when resources are available again. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc.h"
#include "rawhttp.h"
#include "shell.h"

/* -- at the start -- */

static void too_few_files_are_said_at_the_start(void **state)
{
    struct shell s;

    (void)state;
    shell_open(&s);
    assert_int_equal(shell_run(&s, "ulimit -n 24; $P run --redis unix://$D/none"), 1);
    shell_assert_err(&s, "may open 24 files and needs");
    shell_assert_err(&s, "raise its limit");
    shell_close(&s);
}

/* Root has no limit for threads, so this uses an otherwise unused user. The leak sanitizer needs a
 * thread, too. */
static void too_few_threads_are_said_at_the_start(void **state)
{
    const char *as = geteuid() ? "" : "setpriv --reuid 54321 --clear-groups --inh-caps=-all";
    struct shell s;

    (void)state;
    shell_open(&s);
    assert_int_equal(shell_run(&s,
                               "cp $P $D/p && chmod 755 $D $D/p && ASAN_OPTIONS=detect_leaks=0 %s "
                               "prlimit --nproc=3 $D/p run --redis unix://$D/none",
                               as),
                     1);
    shell_assert_err(&s, "cannot start");
    shell_assert_err(&s, "threads: Resource temporarily unavailable");
    shell_close(&s);
}

/* -- while running -- */

static bool is_open(const struct instance *i, rlim_t file)
{
    char *path = alloc_printf("/proc/%d/fd/%llu", (int)i->pid, (unsigned long long)file);
    char where[256];
    bool open = readlink(path, where, sizeof(where)) >= 0;

    free(path);
    return open;
}

/* Lowers the limit so that it can open `more` files. The limit is for file numbers, and some lower
 * ones may be free. Returns the old limit. */
static struct rlimit allow_files(const struct instance *i, unsigned more)
{
    struct rlimit before, now;

    assert_int_equal(prlimit(i->pid, RLIMIT_NOFILE, NULL, &before), 0);
    now = before;
    for (now.rlim_cur = 0; more || is_open(i, now.rlim_cur); now.rlim_cur++)
        more -= !is_open(i, now.rlim_cur);
    assert_int_equal(prlimit(i->pid, RLIMIT_NOFILE, &now, NULL), 0);
    return before;
}

static void allow_again(const struct instance *i, const struct rlimit *before)
{
    assert_int_equal(prlimit(i->pid, RLIMIT_NOFILE, before, NULL), 0);
}

/* The first client that waits for a job causes another connection to Redis. */
static void waiting_for_a_job_needs_no_file_descriptor(void **state)
{
    static const char key[] = "{\"keys\":[\"a\"]}";
    struct rig *r = rig_open(state, "", "listen: 127.0.0.1:0\n");
    struct instance *i = rig_start_leading(r, 0);
    struct rlimit before;
    struct rawhttp v;

    rawhttp_open(&v, rawhttp_port(i));
    rawhttp_say(&v, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (void)rawhttp_await_any(&v); /* so it was accepted */
    before = allow_files(i, 0);
    rawhttp_say(&v,
                "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                strlen(key), key);
    rig_await(r, rig_status(r, "jobs_taken") == 1 || instance_has_ended(i));
    allow_again(i, &before);
    rawhttp_await_status(&v, 200);
    rawhttp_close(&v);
    rig_close(r);
}

/* An address that a reload adds is opened when there are enough file descriptors. */
static void http_waits_for_files(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct instance *i = rig_start_leading(r, 0);
    struct rlimit before = allow_files(i, 8);

    rig_configure(r, "", "listen: 127.0.0.1:0\n");
    instance_signal(i, SIGHUP);
    instance_await_said(i, "more files cannot be opened: Too many open files", 1);
    allow_again(i, &before);
    instance_await_said(i, "The HTTP endpoint listens", 1);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(too_few_files_are_said_at_the_start),
        rig_test(too_few_threads_are_said_at_the_start),
        rig_test(waiting_for_a_job_needs_no_file_descriptor),
        rig_test(http_waits_for_files),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
