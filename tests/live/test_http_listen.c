/* SPDX-License-Identifier: MIT
 * The endpoint listens on several addresses and Unix sockets, which can be opened and closed
 * separately. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "free_port.h"
#include "http_world.h"
#include "rawhttp.h"

#define PUSH_KEY                                                                                   \
    "POST /v1/purge HTTP/1.1\r\nHost: %s\r\nContent-Length: 14\r\n%s\r\n{\"keys\":[\"%s\"]}"

struct place {
    struct rig *r;
    char *socket;
    unsigned port;
};

/* A configuration that listens on a port of 127.0.0.1 and ::1, and on a socket. */
static char *three(const struct place *p, const char *more)
{
    return alloc_printf("listen:\n  - 127.0.0.1:%u\n  - \"[::1]:%u\"\n  - unix:%s\n%s", p->port,
                        p->port, p->socket, more);
}

static void configure(const struct place *p, char *lines)
{
    rig_configure(p->r, "", lines);
    free(lines);
}

static struct place open_place(void **state)
{
    struct place p = {.r = rig_open(state, "", ""), .port = free_port()};

    p.socket = alloc_printf("%s/http.sock", p.r->folder);
    return p;
}

static void close_place(struct place *p)
{
    rig_close(p->r);
    free(p->socket);
}

static void assert_lives(struct rawhttp r)
{
    rawhttp_say(&r, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
}

static void assert_lives_at(const struct place *p)
{
    struct rawhttp r;

    rawhttp_open(&r, p->port);
    assert_lives(r);
    rawhttp_open_six(&r, p->port);
    assert_lives(r);
    rawhttp_open_unix(&r, p->socket);
    assert_lives(r);
}

static mode_t mode_of(const char *path)
{
    struct stat s;

    if (lstat(path, &s) < 0)
        return 0;
    return s.st_mode & (S_IFMT | 0777);
}

static bool refuses(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    refused = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0;
    close(fd);
    return refused;
}

static void a_port_of_each_family_and_a_socket_are_served(void **state)
{
    struct place p = open_place(state);

    configure(&p, three(&p, ""));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    assert_lives_at(&p);
    assert_int_equal(mode_of(p.socket), S_IFSOCK | 0660);
    rig_stop(p.r, 0);
    assert_int_equal(mode_of(p.socket), 0);
    close_place(&p);
}

/* A client of the socket is on this machine, whatever its Host is. Requests from web pages or
 * proxies are refused there, too. */
static void over_a_socket_any_host_may_push_but_no_proxy(void **state)
{
    struct place p = open_place(state);
    struct rawhttp r;

    configure(&p, three(&p, ""));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    rawhttp_open_unix(&r, p.socket);
    rawhttp_say(&r, PUSH_KEY, "any.example", "", "a");
    rawhttp_await_status(&r, 202);
    rawhttp_close(&r);
    rawhttp_open_unix(&r, p.socket);
    rawhttp_say(&r, PUSH_KEY, "localhost", "X-Forwarded-For: 192.0.2.1\r\n", "b");
    rawhttp_await_status(&r, 403);
    rawhttp_close(&r);
    rawhttp_open_unix(&r, p.socket);
    rawhttp_say(&r, PUSH_KEY, "localhost", "Origin: http://a.example\r\n", "b");
    rawhttp_await_status(&r, 403);
    rawhttp_close(&r);
    rawhttp_open(&r, p.port);
    rawhttp_say(&r, PUSH_KEY, "any.example", "", "b");
    rawhttp_await_status(&r, 421);
    rawhttp_close(&r);
    instance_await_said(&p.r->instances[0], "peer=unix", 2);
    rig_await(p.r, requests_naming(&p.r->requests, "a", 200) == 1);
    close_place(&p);
}

static void a_socket_is_of_the_mode_and_group_that_are_set(void **state)
{
    struct place p = open_place(state);

    configure(&p, three(&p, "http: {unix_mode: 0600}\n"));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    assert_int_equal(mode_of(p.socket), S_IFSOCK | 0600);
    configure(&p, three(&p, "http: {unix_mode: 0666}\n"));
    instance_signal(&p.r->instances[0], SIGHUP);
    await_until(-1, AWAIT_PATIENCE_MS, mode_of(p.socket) == (S_IFSOCK | 0666));
    configure(&p, three(&p, "http: {unix_group: no-such-group}\n"));
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "there is no group 'no-such-group'", 1);
    assert_lives_at(&p);
    close_place(&p);
}

static void a_reload_adds_and_removes_addresses(void **state)
{
    struct place p = open_place(state);
    struct rawhttp kept, old;
    char *other;

    configure(&p, three(&p, ""));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    rawhttp_open(&kept, p.port);
    rawhttp_open_unix(&old, p.socket);
    other = alloc_printf("%s/other.sock", p.r->folder);
    configure(&p, alloc_printf("listen: 127.0.0.1:%u,unix:%s\n", p.port, other));
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "instead_of=", 1);
    assert_int_equal(mode_of(p.socket), 0);
    rawhttp_await_end(&old);
    rawhttp_close(&old);
    assert_lives(kept); /* this address is still open */
    rawhttp_open_unix(&kept, other);
    assert_lives(kept);
    rawhttp_open(&kept, p.port);
    assert_lives(kept);

    /* One address is in use: the other new one is opened, and the old one is closed. */
    configure(&p, alloc_printf("listen: [127.0.0.1:%u, \"unix:%s\"]\n",
                               redis_server_port(p.r->redis), p.socket));
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "cannot listen: Address already in use", 1);
    instance_await_said(&p.r->instances[0], "the old ones stay", 1);
    rawhttp_open_unix(&kept, other);
    assert_lives(kept);
    rawhttp_open_unix(&kept, p.socket);
    assert_lives(kept);
    free(other);
    close_place(&p);
}

static void the_socket_of_a_dead_process_is_replaced_and_no_other(void **state)
{
    struct place p = open_place(state);
    struct instance *i;
    int fd;

    configure(&p, three(&p, ""));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    instance_kill(&p.r->instances[0]);
    assert_int_equal(mode_of(p.socket), S_IFSOCK | 0660);
    assert_true(refuses(p.socket));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 2);
    assert_lives_at(&p);

    /* A second instance with the same socket. */
    configure(&p, alloc_printf("listen: unix:%s\n", p.socket));
    i = rig_start(p.r, 1);
    instance_await_said(i, "another process listens there", 1);
    assert_lives_at(&p);
    rig_stop(p.r, 0);
    assert_int_equal(mode_of(p.socket), 0);

    /* A file that is not a socket belongs to somebody else. */
    fd = open(p.socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    instance_deinit(i);
    i = rig_start(p.r, 1);
    instance_await_said(i, "what is there is no socket", 1);
    assert_int_equal(mode_of(p.socket), S_IFREG | 0600);
    instance_deinit(i);
    close_place(&p);
}

/* Without IPV6_V6ONLY, [::] would include all IPv4 addresses. */
static void both_any_addresses_of_one_port_go_together(void **state)
{
    struct place p = open_place(state);
    struct rawhttp r;

    configure(&p, alloc_printf("listen: [\"[::]:%u\", \"0.0.0.0:%u\"]\n" CMS, p.port, p.port));
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    rawhttp_open(&r, p.port);
    assert_lives(r);
    rawhttp_open_six(&r, p.port);
    assert_lives(r);
    configure(&p, alloc_printf("listen: \"[::]:%u\"\n" CMS, p.port));
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "instead_of=", 1);
    rawhttp_open(&r, p.port);
    assert_lives(r);
    close_place(&p);
}

/* -- the start -- */

#define STARTS 50
#define TOO_SLOW "the HTTP endpoint accepts requests all the same"

static void say_push(struct rawhttp *r)
{
    rawhttp_say(r, PUSH_KEY, "localhost", "", "a");
}

/* Starts the instance while Redis is stopped, and continues Redis when the first push was sent. If
 * that took too long, what the push got is not judged. */
static bool a_push_before_redis_answers_is_accepted(struct place *p)
{
    struct instance *i = &p->r->instances[0];
    size_t slow = i->log ? instance_said(i, TOO_SLOW) : 0;
    struct rawhttp r;
    int status;

    kill(redis_server_pid(p->r->redis), SIGSTOP);
    rig_start(p->r, 0);
    await_until(-1, AWAIT_PATIENCE_MS, !refuses(p->socket));
    rawhttp_open_unix(&r, p->socket);
    say_push(&r);
    kill(redis_server_pid(p->r->redis), SIGCONT);
    status = rawhttp_await(&r).status;
    rawhttp_close(&r);
    if (instance_said(i, TOO_SLOW) != slow)
        return false;
    assert_int_equal(status, 202);
    return true;
}

static void a_push_is_accepted_as_soon_as_one_can_connect(void **state)
{
    struct place p = open_place(state);
    struct rawhttp r;

    configure(&p, three(&p, ""));
    for (unsigned n = 0; n < STARTS;) {
        n += a_push_before_redis_answers_is_accepted(&p);
        instance_kill(&p.r->instances[0]);
        rig_start(p.r, 0);
        await_until(-1, AWAIT_PATIENCE_MS, !refuses(p.socket));
        rawhttp_open_unix(&r, p.socket);
        say_push(&r);
        rawhttp_await_status(&r, 202);
        rawhttp_close(&r);
        instance_kill(&p.r->instances[0]);
    }
    close_place(&p);
}

static void without_redis_requests_are_answered_all_the_same(void **state)
{
    struct place p = open_place(state);
    struct rawhttp r;

    configure(&p, three(&p, ""));
    redis_server_kill(p.r->redis);
    rig_start(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    assert_lives_at(&p);
    rawhttp_open(&r, p.port);
    say_push(&r);
    rawhttp_await_status(&r, 503);
    rawhttp_close(&r);
    redis_server_restart(p.r->redis);
    close_place(&p);
}

static void while_redis_hangs_requests_are_answered_and_errors_of_listen_are_said(void **state)
{
    struct place p = open_place(state);
    struct rawhttp r;

    configure(&p, three(&p, ""));
    kill(redis_server_pid(p.r->redis), SIGSTOP);
    rig_start(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    rig_start(p.r, 1);
    instance_await_said(&p.r->instances[1], "cannot listen: Address already in use", 1);
    instance_kill(&p.r->instances[1]);
    assert_lives_at(&p);
    rawhttp_open(&r, p.port);
    rawhttp_say(&r, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    rawhttp_await_status(&r, 503);
    rawhttp_close(&r);
    kill(redis_server_pid(p.r->redis), SIGCONT);
    close_place(&p);
}

/* The first attempt to reach Redis is not over. */
static void an_endpoint_that_accepts_nothing_yet_can_be_reloaded_and_stopped(void **state)
{
    struct place p = open_place(state);

    configure(&p, three(&p, ""));
    kill(redis_server_pid(p.r->redis), SIGSTOP);
    rig_start(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    configure(&p, alloc_printf("listen: unix:%s\n", p.socket));
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "instead_of=", 1);
    rig_stop(p.r, 0);
    kill(redis_server_pid(p.r->redis), SIGCONT);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_port_of_each_family_and_a_socket_are_served),
        rig_test(over_a_socket_any_host_may_push_but_no_proxy),
        rig_test(a_socket_is_of_the_mode_and_group_that_are_set),
        rig_test(a_reload_adds_and_removes_addresses),
        rig_test(the_socket_of_a_dead_process_is_replaced_and_no_other),
        rig_test(both_any_addresses_of_one_port_go_together),
        rig_test(a_push_is_accepted_as_soon_as_one_can_connect),
        rig_test(without_redis_requests_are_answered_all_the_same),
        rig_test(while_redis_hangs_requests_are_answered_and_errors_of_listen_are_said),
        rig_test(an_endpoint_that_accepts_nothing_yet_can_be_reloaded_and_stopped),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
