/* SPDX-License-Identifier: MIT
 * What systemd is told, read from a socket like its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "notify.h"
#include "on_loop.h"
#include "supervision.h"

struct manager {
    int fd;
    char folder[40], path[60];
    struct loop *loop;
    struct supervision *supervision;
    struct supervision_report report; /* what is reported next */
    unsigned looks, looks_wanted;
    char told[2000]; /* all messages, each followed by a bar */
};

static void bind_to(struct manager *m, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    memcpy(at.sun_path, path, n);
    if (*path == '@')
        at.sun_path[0] = '\0';
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(m->fd, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                     0);
    setenv("NOTIFY_SOCKET", path, 1);
}

static int set_up(void **state)
{
    struct manager *m = alloc_zeroed(1, sizeof(*m));

    snprintf(m->folder, sizeof(m->folder), "/tmp/supervision-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    snprintf(m->path, sizeof(m->path), "%s/notify", m->folder);
    bind_to(m, m->path);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    struct manager *m = *state;

    close(m->fd);
    unlink(m->path);
    rmdir(m->folder);
    free(m);
    return 0;
}

/* All that was sent since the last call. */
static const char *told(struct manager *m)
{
    size_t n = 0;
    ssize_t got;

    while ((got = recv(m->fd, m->told + n, sizeof(m->told) - n - 2, 0)) >= 0) {
        n += (size_t)got;
        m->told[n++] = '|';
    }
    m->told[n] = '\0';
    return m->told;
}

static void assert_told(struct manager *m, const char *all)
{
    assert_string_equal(told(m), all);
}

/* -- io/notify -- */

static void a_message_arrives_as_it_is(void **state)
{
    struct manager *m = *state;
    struct notify *n = notify_new();

    assert_non_null(n);
    notify_send(n, "READY=1\nSTATUS=well");
    assert_told(m, "READY=1\nSTATUS=well|");
    notify_free(n);
}

static void a_socket_may_have_a_name_instead_of_a_path(void **state)
{
    struct manager *m = *state;
    char name[60];
    struct notify *n;

    close(m->fd);
    snprintf(name, sizeof(name), "@supervision-%d", (int)getpid());
    bind_to(m, name);
    n = notify_new();
    notify_send(n, "READY=1");
    assert_told(m, "READY=1|");
    notify_free(n);
}

static void without_a_manager_nobody_is_told(void **state)
{
    static const char *const others[] = {"", "/", "relative", "vsock:2:1234"};
    char long_path[200];

    (void)state;
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    for (size_t i = 0; i < array_len(others); i++) {
        setenv("NOTIFY_SOCKET", others[i], 1);
        assert_null(notify_new());
    }
    setenv("NOTIFY_SOCKET", long_path, 1);
    assert_null(notify_new());
    assert_null(notify_new());
    notify_send(NULL, "READY=1");
    notify_free(NULL);
}

static void a_manager_that_is_gone_is_no_trouble(void **state)
{
    struct manager *m = *state;
    struct notify *n = notify_new();

    close(m->fd);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    notify_send(n, "READY=1");
    notify_free(n);
}

static void children_do_not_see_the_variables(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "1000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_free(notify_new());
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static uint64_t watchdog_of(struct manager *m, const char *usec, const char *pid)
{
    struct notify *n;
    uint64_t ns;

    setenv("NOTIFY_SOCKET", m->path, 1);
    setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    n = notify_new();
    ns = notify_watchdog_ns(n);
    notify_free(n);
    return ns;
}

static void the_watchdog_is_for_this_process_only(void **state)
{
    struct manager *m = *state;
    char pid[24];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_int_equal(watchdog_of(m, "30000000", NULL), 30 * NS_PER_S);
    assert_int_equal(watchdog_of(m, "30000000", pid), 30 * NS_PER_S);
    assert_int_equal(watchdog_of(m, "30000000", "1"), 0);
    assert_int_equal(watchdog_of(m, "soon", NULL), 0);
    assert_int_equal(watchdog_of(m, "18446744073709551615", NULL), 0);
}

/* -- daemon/supervision -- */

static void on_look(void *ctx, struct supervision_report *r)
{
    struct manager *m = ctx;

    *r = m->report;
    if (++m->looks == m->looks_wanted)
        loop_stop(m->loop);
}

static void begin(struct manager *m)
{
    m->loop = loop_new();
    m->supervision = supervision_new(m->loop, on_look, m);
}

/* Until it has looked so many times more. */
static void look(struct manager *m, unsigned times)
{
    m->looks_wanted = m->looks + times;
    loop_run(m->loop);
}

static void end(struct manager *m)
{
    supervision_close(m->supervision);
    loop_run(m->loop);
    loop_free(m->loop);
}

static void progress_is_told_twice_in_the_watchdogs_time(void **state)
{
    struct manager *m = *state;
    uint64_t begun_ns;

    setenv("WATCHDOG_USEC", "40000", 1);
    snprintf(m->report.sentence, sizeof(m->report.sentence), "Dispatching");
    begin(m);
    look(m, 1);
    assert_told(m, "WATCHDOG=1|STATUS=Dispatching|");
    begun_ns = clock_mono_ns();
    look(m, 3);
    assert_true(clock_mono_ns() - begun_ns >= 55 * NS_PER_MS);
    assert_told(m, "WATCHDOG=1|WATCHDOG=1|WATCHDOG=1|");
    end(m);
}

static void without_progress_the_watchdog_hears_nothing(void **state)
{
    struct manager *m = *state;

    setenv("WATCHDOG_USEC", "2000", 1);
    m->report.stalled = true;
    snprintf(m->report.sentence, sizeof(m->report.sentence), "no answer\nfor a minute");
    begin(m);
    look(m, 4);
    assert_told(m, "STATUS=no answer for a minute|");
    end(m);
}

static void a_start_that_has_a_reason_to_take_longer_gets_the_time(void **state)
{
    struct manager *m = *state;

    m->report.starting = true;
    begin(m);
    look(m, 1);
    assert_told(m, "WATCHDOG=1|EXTEND_TIMEOUT_USEC=60000000|");
    end(m);
}

static void a_reload_begins_and_ends(void **state)
{
    struct manager *m = *state;
    unsigned long long at_us;
    char rest[20];

    begin(m);
    look(m, 1);
    (void)told(m);
    supervision_reloading(m->supervision);
    assert_int_equal(sscanf(told(m), "RELOADING=1\nMONOTONIC_USEC=%llu%19s", &at_us, rest), 2);
    assert_string_equal(rest, "|");
    assert_true(at_us <= clock_mono_ns() / 1000 && at_us + 60000000 > clock_mono_ns() / 1000);
    supervision_ready(m->supervision);
    assert_told(m, "READY=1|");
    look(m, 1); /* at once */
    supervision_stopping(m->supervision);
    assert_told(m, "WATCHDOG=1|STOPPING=1|STATUS=Stopping; requests in flight are finished first|");
    end(m);
}

static void without_a_manager_all_of_it_does_nothing(void **state)
{
    struct manager *m = *state;

    unsetenv("NOTIFY_SOCKET");
    begin(m);
    assert_null(m->supervision);
    supervision_ready(NULL);
    supervision_reloading(NULL);
    supervision_stopping(NULL);
    end(m);
    assert_int_equal(m->looks, 0);
}

#define for_manager(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        for_manager(a_message_arrives_as_it_is),
        for_manager(a_socket_may_have_a_name_instead_of_a_path),
        for_manager(without_a_manager_nobody_is_told),
        for_manager(a_manager_that_is_gone_is_no_trouble),
        for_manager(children_do_not_see_the_variables),
        for_manager(the_watchdog_is_for_this_process_only),
        for_manager(progress_is_told_twice_in_the_watchdogs_time),
        for_manager(without_progress_the_watchdog_hears_nothing),
        for_manager(a_start_that_has_a_reason_to_take_longer_gets_the_time),
        for_manager(a_reload_begins_and_ends),
        for_manager(without_a_manager_all_of_it_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
