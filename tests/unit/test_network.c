/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "network.h"

#include <errno.h>
#include <string.h>

static int parse(const char *text, struct network *n)
{
    return network_parse(span_str(text), n);
}

static void addresses_networks_and_unix_are_understood(void **state)
{
    static const struct {
        const char *text;
        enum network_family family;
        unsigned bits;
    } good[] = {{"10.1.0.0/16", NETWORK_FOUR, 16},
                {"192.0.2.1", NETWORK_FOUR, 32},
                {"192.0.2.1/32", NETWORK_FOUR, 32},
                {"0.0.0.0/0", NETWORK_FOUR, 0},
                {"fd00::/8", NETWORK_SIX, 8},
                {"::1", NETWORK_SIX, 128},
                {"::/0", NETWORK_SIX, 0},
                {"fe80::1%eth0", NETWORK_SIX, 128},
                {"::ffff:192.0.2.1", NETWORK_FOUR, 32},
                {"unix", NETWORK_UNIX, 0}};
    struct network n;

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        if (parse(good[i].text, &n) < 0)
            fail_msg("'%s' was refused", good[i].text);
        assert_int_equal(n.family, good[i].family);
        assert_int_equal(n.bits, good[i].bits);
    }
}

static void an_invalid_network_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "10.1.0.0/33",
                                      "10.1.0.0/",
                                      "10.1.2.3/16",
                                      "10.1.0.0/-1",
                                      "10.1/16",
                                      "fd00::/129",
                                      "fd00::1/8",
                                      "/8",
                                      "localhost",
                                      "10.1.0.0 /16",
                                      "unix:",
                                      "Unix",
                                      "10.0.0.1%eth",
                                      "::ffff:10.0.0.0/104",
                                      "10.1.0.0/16/1",
                                      "10.1.0.0/ 8"};
    struct network n = {.bits = 77};

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        if (parse(bad[i], &n) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(n.bits, 77);
    }
}

static bool meet(const char *a, const char *b)
{
    struct network x, y;

    assert_int_equal(parse(a, &x), 0);
    assert_int_equal(parse(b, &y), 0);
    assert_int_equal(network_overlap(&x, &y), network_overlap(&y, &x));
    return network_overlap(&x, &y);
}

static void one_in_the_other_is_seen_to_the_bit(void **state)
{
    (void)state;
    assert_true(meet("10.1.0.0/16", "10.1.255.255"));
    assert_false(meet("10.1.0.0/16", "10.2.0.0"));
    assert_false(meet("10.1.0.0/16", "10.0.255.255"));
    assert_true(meet("10.0.0.0/8", "10.1.0.0/16"));
    assert_true(meet("192.0.2.128/25", "192.0.2.128"));
    assert_false(meet("192.0.2.128/25", "192.0.2.127"));
    assert_true(meet("0.0.0.0/0", "192.0.2.1"));
    assert_false(meet("::/0", "192.0.2.1"));
    assert_true(meet("192.0.2.0/24", "::ffff:192.0.2.7"));
    assert_true(meet("fd00::/8", "fdff::1"));
    assert_false(meet("fd00::/8", "fc00::1"));
    assert_true(meet("unix", "unix"));
    assert_false(meet("unix", "0.0.0.0/0"));
    assert_false(meet("::/0", "unix"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_networks_and_unix_are_understood),
        cmocka_unit_test(an_invalid_network_is_refused),
        cmocka_unit_test(one_in_the_other_is_seen_to_the_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
