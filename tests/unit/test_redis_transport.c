/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "redis.h"
#include "redis_transport.h"

static char loopback[] = "127.0.0.1";

struct link { /* both ends of a connection */
    int listener, peer;
    struct redis_address address;
    struct redis_transport *t;
    struct error err;
};

static void listen_tcp(struct link *l)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(l->listener, 8), 0);
    assert_int_equal(getsockname(l->listener, (struct sockaddr *)&a, &n), 0);
    l->address = (struct redis_address){.host = loopback, .port = ntohs(a.sin_port)};
}

static int await(const struct redis_transport *t, unsigned wants)
{
    struct pollfd p = {.fd = redis_transport_fd(t)};

    p.events = (short)((wants & REDIS_WANTS_READABLE ? POLLIN : 0) |
                       (wants & REDIS_WANTS_WRITABLE ? POLLOUT : 0));
    return poll(&p, 1, 60000);
}

static int connect_link(struct link *l)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *to = NULL;
    int rc;

    if (l->address.host)
        assert_int_equal(getaddrinfo(l->address.host, NULL, &hints, &to), 0);
    rc = redis_transport_open(&l->address, to, &l->t, &l->err);
    if (to)
        freeaddrinfo(to);
    if (rc < 0)
        return rc;
    while ((rc = redis_transport_connect(l->t, &l->err)) == -EAGAIN)
        assert_int_equal(await(l->t, redis_transport_reading_wants(l->t)), 1);
    return rc;
}

static struct link open_link(void)
{
    struct link l = {0};

    listen_tcp(&l);
    assert_int_equal(connect_link(&l), 0);
    l.peer = accept(l.listener, NULL, NULL);
    assert_true(l.peer >= 0);
    return l;
}

static void close_link(struct link *l)
{
    redis_transport_free(l->t);
    if (l->peer > 0)
        close(l->peer);
    if (l->listener > 0)
        close(l->listener);
}

static ssize_t read_next(struct link *l, char *p, size_t room)
{
    ssize_t n;

    while ((n = redis_transport_read(l->t, p, room, &l->err)) == -EAGAIN)
        assert_int_equal(await(l->t, redis_transport_reading_wants(l->t)), 1);
    return n;
}

static void bytes_go_both_ways_over_tcp(void **state)
{
    struct link l = open_link();
    char in[16];

    (void)state;
    assert_int_equal(redis_transport_read(l.t, in, sizeof(in), &l.err), -EAGAIN);
    assert_int_equal(redis_transport_write(l.t, "ping", 4, &l.err), 4);
    assert_int_equal(read(l.peer, in, sizeof(in)), 4);
    assert_memory_equal(in, "ping", 4);
    assert_int_equal(write(l.peer, "pong", 4), 4);
    assert_int_equal(read_next(&l, in, sizeof(in)), 4);
    assert_memory_equal(in, "pong", 4);
    close(l.peer);
    l.peer = 0;
    assert_int_equal(read_next(&l, in, sizeof(in)), 0);
    close_link(&l);
}

static void a_unix_socket_is_reached_by_its_path(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/purgeline-test-XXXXXX", in[4], *path;
    struct link l = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    path = alloc_printf("%s/socket", folder);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    l.address.unix_path = path;
    assert_int_equal(connect_link(&l), -ENOENT);
    assert_string_equal(l.err.text, "No such file or directory");
    redis_transport_free(l.t);
    l.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l.listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(connect_link(&l), -ECONNREFUSED);
    redis_transport_free(l.t);
    assert_int_equal(listen(l.listener, 8), 0);
    assert_int_equal(connect_link(&l), 0);
    l.peer = accept(l.listener, NULL, NULL);
    assert_int_equal(redis_transport_write(l.t, "a", 1, &l.err), 1);
    assert_int_equal(read(l.peer, in, sizeof(in)), 1);
    close_link(&l);
    unlink(path);
    rmdir(folder);
    free(path);
}

static void a_refused_connection_says_so(void **state)
{
    struct link l = {0};

    (void)state;
    listen_tcp(&l);
    close(l.listener);
    l.listener = 0;
    assert_int_equal(connect_link(&l), -ECONNREFUSED);
    assert_string_equal(l.err.text, "Connection refused");
    close_link(&l);
}

/* Fills the kernel's buffers, then empties them. */
static void a_slow_peer_makes_writing_wait(void **state)
{
    struct link l = open_link();
    static char block[65536], in[65536];
    size_t sent = 0, got = 0;
    ssize_t n;

    (void)state;
    while ((n = redis_transport_write(l.t, block, sizeof(block), &l.err)) > 0)
        sent += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(redis_transport_writing_wants(l.t), REDIS_WANTS_WRITABLE);
    while (got < sent) {
        n = read(l.peer, in, sizeof(in));
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(await(l.t, REDIS_WANTS_WRITABLE), 1);
    assert_int_equal(redis_transport_write(l.t, block, 1, &l.err), 1);
    close_link(&l);
}

/* SIGPIPE has its default action, which would end this process. */
static void what_was_said_before_closing_is_read_though_writing_fails(void **state)
{
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    struct link l = open_link();
    char in[64];
    ssize_t n = 1;

    (void)state;
    assert_int_equal(write(l.peer, "-ERR bye\r\n", 10), 10);
    close(l.peer);
    l.peer = 0;
    while (n > 0 || (redis_transport_writing_wants(l.t) & REDIS_WANTS_WRITABLE))
        n = redis_transport_write(l.t, "x", 1, &l.err);
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(redis_transport_writing_wants(l.t), REDIS_WANTS_READABLE);
    assert_int_equal(read_next(&l, in, sizeof(in)), 10);
    assert_memory_equal(in, "-ERR bye\r\n", 10);
    assert_true(read_next(&l, in, sizeof(in)) <= 0);
    close_link(&l);
    signal(SIGPIPE, before);
}

static void a_server_that_may_expect_tls_is_suspected(void **state)
{
    static const char *const says[] = {"", "\x15\x03\x01\x00\x02\x02\x46"};

    (void)state;
    for (size_t i = 0; i < array_len(says); i++) {
        struct link l = open_link();
        size_t n = i ? 7 : 0;
        char in[16];

        if (n)
            assert_int_equal(write(l.peer, says[i], n), n);
        close(l.peer);
        l.peer = 0;
        assert_int_equal(read_next(&l, in, sizeof(in)), -EPROTO);
        assert_non_null(strstr(l.err.text, "rediss://"));
        close_link(&l);
    }
}

static void a_file_that_is_missing_is_named_before_anything_is_sent(void **state)
{
    static char ca[] = "/nonexistent/ca.pem";
    struct link l = {0};

    (void)state;
    listen_tcp(&l);
    l.address.tls = true;
    l.address.ca_file = ca;
    assert_int_equal(connect_link(&l), -EPROTO);
    assert_string_equal(l.err.text,
                        "redis_tls.ca_file /nonexistent/ca.pem: No such file or directory");
    close_link(&l);
}

static void a_silent_server_is_suspected_not_to_speak_tls(void **state)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *to = NULL;
    struct link l = {0};

    (void)state;
    listen_tcp(&l);
    l.address.tls = true;
    assert_int_equal(getaddrinfo(loopback, NULL, &hints, &to), 0);
    assert_int_equal(redis_transport_open(&l.address, to, &l.t, &l.err), 0);
    freeaddrinfo(to);
    assert_string_equal(redis_transport_delay(l.t), "");
    while (redis_transport_connect(l.t, &l.err) == -EAGAIN &&
           redis_transport_reading_wants(l.t) == REDIS_WANTS_WRITABLE)
        assert_int_equal(await(l.t, REDIS_WANTS_WRITABLE), 1);
    assert_int_equal(redis_transport_reading_wants(l.t), REDIS_WANTS_READABLE);
    assert_non_null(strstr(redis_transport_delay(l.t), "does not speak TLS"));
    close_link(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_over_tcp),
        cmocka_unit_test(a_unix_socket_is_reached_by_its_path),
        cmocka_unit_test(a_refused_connection_says_so),
        cmocka_unit_test(a_slow_peer_makes_writing_wait),
        cmocka_unit_test(what_was_said_before_closing_is_read_though_writing_fails),
        cmocka_unit_test(a_server_that_may_expect_tls_is_suspected),
        cmocka_unit_test(a_file_that_is_missing_is_named_before_anything_is_sent),
        cmocka_unit_test(a_silent_server_is_suspected_not_to_speak_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
