/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "peer.h"

static void every_closed_range_is_refused_at_both_ends(void **state)
{
    static const char *const closed[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:93.184.216.34",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:c0a8:101::1",
        "2001::1",
        "",
        "localhost",
        "127.1",
    };

    (void)state;
    for (size_t i = 0; i < array_len(closed); i++)
        if (peer_text_is_public(closed[i]))
            fail_msg("%s was taken for public", closed[i]);
}

static void neighbours_of_the_closed_ranges_are_public(void **state)
{
    static const char *const open[] = {
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "151.101.1.57",
        "2a04:4e42::313",
        "2001:4860:4860::8888",
        "64:ff9b::9765:139",
        "2002:9765:139::1",
    };

    (void)state;
    for (size_t i = 0; i < array_len(open); i++)
        if (!peer_text_is_public(open[i]))
            fail_msg("%s was refused", open[i]);
}

static void a_socket_address_is_judged_as_its_text_is(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    (void)state;
    inet_pton(AF_INET, "151.101.1.57", &in.sin_addr);
    assert_true(peer_is_public((struct sockaddr *)&in));
    inet_pton(AF_INET, "10.1.2.3", &in.sin_addr);
    assert_false(peer_is_public((struct sockaddr *)&in));
    inet_pton(AF_INET6, "2a04:4e42::313", &in6.sin6_addr);
    assert_true(peer_is_public((struct sockaddr *)&in6));
    inet_pton(AF_INET6, "fd00::1", &in6.sin6_addr);
    assert_false(peer_is_public((struct sockaddr *)&in6));
    assert_false(peer_is_public((struct sockaddr *)&un));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_closed_range_is_refused_at_both_ends),
        cmocka_unit_test(neighbours_of_the_closed_ranges_are_public),
        cmocka_unit_test(a_socket_address_is_judged_as_its_text_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
