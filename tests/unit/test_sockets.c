/* SPDX-License-Identifier: MIT
 * Sockets that a sender's loop watches. */
#include "unit.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "clock.h"
#include "loop.h"
#include "sockets.h"

struct pair {
    struct loop *loop;
    struct sockets *sockets;
    int listener, fd, peer; /* fd is one of the sockets */
    int calls, flags;
};

static void on_event(void *ctx, int fd, int flags)
{
    struct pair *p = ctx;

    assert_int_equal(fd, p->fd);
    p->calls++;
    p->flags |= flags;
}

static void connect_pair(struct pair *p)
{
    struct sockaddr_in in;
    socklen_t n = sizeof(in);

    p->fd = sockets_open(p->sockets, AF_INET, SOCK_STREAM, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&in, &n), 0);
    if (connect(p->fd, (struct sockaddr *)&in, n) < 0)
        assert_int_equal(errno, EINPROGRESS);
    p->peer = accept(p->listener, NULL, NULL);
    assert_true(p->peer >= 0);
}

static void open_pair(struct pair *p)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    *p = (struct pair){.loop = loop_new()};
    p->sockets = sockets_new(p->loop, on_event, p);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    connect_pair(p);
}

static void close_pair(struct pair *p)
{
    sockets_close(p->sockets, p->fd);
    sockets_free(p->sockets);
    loop_run(p->loop);
    loop_free(p->loop);
    close(p->peer);
    close(p->listener);
}

/* One turn of the loop. Returns how often an event came. */
static int turn(struct pair *p)
{
    p->calls = p->flags = 0;
    uv_run(loop_uv(p->loop), UV_RUN_NOWAIT);
    return p->calls;
}

static void say(struct pair *p)
{
    assert_int_equal(write(p->peer, "x", 1), 1);
}

static void a_wish_is_told_before_the_loop_sleeps(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    say(&p);
    sockets_want(p.sockets, p.fd, CURL_POLL_IN);
    assert_int_equal(turn(&p), 0);
    sockets_apply(p.sockets);
    assert_int_equal(turn(&p), 1);
    assert_int_equal(p.flags, CURL_CSELECT_IN);
    sockets_want(p.sockets, p.fd, CURL_POLL_INOUT);
    sockets_apply(p.sockets);
    assert_int_equal(turn(&p), 1);
    assert_int_equal(p.flags, CURL_CSELECT_IN | CURL_CSELECT_OUT);
    close_pair(&p);
}

static void what_is_not_wanted_any_more_is_not_reported(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    say(&p);
    sockets_want(p.sockets, p.fd, CURL_POLL_INOUT);
    sockets_apply(p.sockets);
    sockets_want(p.sockets, p.fd, CURL_POLL_OUT); /* epoll is not told yet */
    assert_int_equal(turn(&p), 1);
    assert_int_equal(p.flags, CURL_CSELECT_OUT);
    sockets_want(p.sockets, p.fd, CURL_POLL_REMOVE);
    assert_int_equal(turn(&p), 0);
    sockets_apply(p.sockets);
    assert_int_equal(turn(&p), 0);
    sockets_want(p.sockets, p.fd, CURL_POLL_IN);
    sockets_apply(p.sockets);
    assert_int_equal(turn(&p), 1);
    close_pair(&p);
}

static void a_wish_may_come_back_in_the_same_turn_or_later(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    sockets_want(p.sockets, p.fd, CURL_POLL_IN);
    sockets_apply(p.sockets);
    for (int i = 0; i < 3; i++) {
        sockets_want(p.sockets, p.fd, CURL_POLL_REMOVE);
        sockets_want(p.sockets, p.fd, CURL_POLL_IN);
    }
    sockets_apply(p.sockets);
    say(&p);
    assert_int_equal(turn(&p), 1);
    for (int i = 0; i < 6; i++) {
        sockets_want(p.sockets, p.fd, i % 2 ? CURL_POLL_IN : CURL_POLL_REMOVE);
        sockets_apply(p.sockets);
        assert_int_equal(turn(&p), i % 2);
    }
    close_pair(&p);
}

/* The next connection usually gets the number of the last one that was closed. */
static void a_number_that_is_used_again_is_another_socket(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    for (int i = 0; i < 4; i++) {
        int before = p.fd, peer = p.peer;

        say(&p);
        sockets_want(p.sockets, p.fd, CURL_POLL_IN);
        if (i & 1)
            sockets_apply(p.sockets);
        if (i & 2)
            close(p.fd); /* not by sockets_close() */
        else
            sockets_close(p.sockets, p.fd);
        connect_pair(&p);
        close(peer);
        assert_int_equal(p.fd, before);
        sockets_apply(p.sockets);
        assert_int_equal(turn(&p), 0);
        sockets_want(p.sockets, p.fd, CURL_POLL_OUT);
        sockets_apply(p.sockets);
        assert_int_equal(turn(&p), 1);
        assert_int_equal(p.flags, CURL_CSELECT_OUT);
    }
    close_pair(&p);
}

/* libcurl's resolver has sockets that libcurl closes by itself. */
static void sockets_of_others_are_let_go_at_once(void **state)
{
    struct pair p;
    int ends[2], before;

    (void)state;
    open_pair(&p);
    before = p.fd;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(write(ends[1], "x", 1), 1);
        p.fd = ends[0];
        sockets_want(p.sockets, ends[0], CURL_POLL_IN);
        sockets_apply(p.sockets);
        assert_int_equal(turn(&p), 1);
        sockets_want(p.sockets, ends[0], CURL_POLL_REMOVE);
        close(ends[0]);
        close(ends[1]);
        assert_int_equal(turn(&p), 0);
    }
    sockets_want(p.sockets, 100000, CURL_POLL_REMOVE); /* was never wanted */
    p.fd = before;
    close_pair(&p);
}

static int local_port(int fd)
{
    struct sockaddr_in in;
    socklen_t n = sizeof(in);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    return ntohs(in.sin_port);
}

static bool is_collected(const struct pair *p)
{
    int on = -1;
    socklen_t n = sizeof(on);

    assert_int_equal(getsockopt(p->fd, IPPROTO_TCP, TCP_CORK, &on, &n), 0);
    return on;
}

static void hear(struct pair *p)
{
    say(p);
    sockets_want(p->sockets, p->fd, CURL_POLL_IN);
    sockets_apply(p->sockets);
    assert_int_equal(turn(p), 1);
}

static void requests_of_one_turn_leave_together_but_for_the_first(void **state)
{
    struct pair p;
    char bytes[8];

    (void)state;
    open_pair(&p);
    hear(&p);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            sockets_before_request(p.sockets, 1); /* of another connection */
            sockets_before_request(p.sockets, local_port(p.fd));
            assert_int_equal(is_collected(&p), i > 0);
            assert_int_equal(write(p.fd, "x", 1), 1);
        }
        sockets_apply(p.sockets);
        assert_false(is_collected(&p));
        assert_int_equal(recv(p.peer, bytes, 4, MSG_WAITALL), 4);
    }
    close_pair(&p);
}

static void a_connection_may_end_while_its_requests_are_collected(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    for (int i = 0; i < 2; i++) {
        int peer = p.peer;

        hear(&p);
        sockets_before_request(p.sockets, local_port(p.fd));
        sockets_before_request(p.sockets, local_port(p.fd));
        sockets_close(p.sockets, p.fd);
        connect_pair(&p);
        close(peer);
        sockets_apply(p.sockets);
        assert_false(is_collected(&p));
    }
    close_pair(&p);
}

static bool is_shut(const struct pair *p)
{
    char byte;

    return recv(p->peer, &byte, 1, MSG_DONTWAIT) == 0;
}

static void only_a_silent_connection_is_shut_down(void **state)
{
    struct pair p;
    uint64_t since_ns;

    (void)state;
    open_pair(&p);
    say(&p);
    since_ns = clock_mono_ns();
    sockets_want(p.sockets, p.fd, CURL_POLL_IN);
    sockets_apply(p.sockets);
    assert_int_equal(turn(&p), 1);
    sockets_hang_up_if_silent(p.sockets, p.fd, since_ns);
    assert_false(is_shut(&p));
    sockets_hang_up_if_silent(p.sockets, -1, clock_mono_ns());
    sockets_hang_up_if_silent(p.sockets, 100000, clock_mono_ns());
    sockets_hang_up_if_silent(p.sockets, p.fd, clock_mono_ns() + 1);
    assert_true(is_shut(&p));
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_is_told_before_the_loop_sleeps),
        cmocka_unit_test(what_is_not_wanted_any_more_is_not_reported),
        cmocka_unit_test(a_wish_may_come_back_in_the_same_turn_or_later),
        cmocka_unit_test(a_number_that_is_used_again_is_another_socket),
        cmocka_unit_test(sockets_of_others_are_let_go_at_once),
        cmocka_unit_test(requests_of_one_turn_leave_together_but_for_the_first),
        cmocka_unit_test(a_connection_may_end_while_its_requests_are_collected),
        cmocka_unit_test(only_a_silent_connection_is_shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
