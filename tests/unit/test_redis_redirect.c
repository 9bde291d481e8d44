/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "redis_redirect.h"
#include "unit.h"

static void assert_to(const char *words, enum redis_redirect_kind kind, uint32_t slot,
                      const char *host, uint16_t port)
{
    struct redis_redirect to;

    assert_int_equal(redis_redirect_parse(words, &to), 1);
    assert_int_equal(to.kind, kind);
    assert_int_equal(to.slot, slot);
    assert_int_equal(to.at.port, port);
    if (host)
        assert_string_equal(to.at.host, host);
    else
        assert_null(to.at.host);
    free(to.at.host);
}

static void assert_rc(const char *words, int rc)
{
    struct redis_redirect to;

    assert_int_equal(redis_redirect_parse(words, &to), rc);
    assert_null(to.at.host);
}

static void test_the_other_node_is_read(void **state)
{
    (void)state;
    assert_to("MOVED 3999 127.0.0.1:6381", REDIS_REDIRECT_MOVED, 3999, "127.0.0.1", 6381);
    assert_to("ASK 16383 redis-2.example:1", REDIS_REDIRECT_ASK, 16383, "redis-2.example", 1);
    assert_to("TRYAGAIN Multiple keys request during rehashing of slot", REDIS_REDIRECT_AGAIN, 0,
              NULL, 0);
}

static void test_ipv6_has_no_brackets(void **state)
{
    (void)state;
    assert_to("MOVED 0 2001:db8::1:6379", REDIS_REDIRECT_MOVED, 0, "2001:db8::1", 6379);
}

static void test_without_a_host_it_is_the_same_host(void **state)
{
    (void)state;
    assert_to("MOVED 1 :65535", REDIS_REDIRECT_MOVED, 1, NULL, 65535);
}

static void test_what_names_no_node_is_invalid(void **state)
{
    static const char *const bad[] = {"MOVED",        "MOVED 1",         "MOVED 16384 h:1",
                                      "MOVED -1 h:1", "MOVED x h:1",     "MOVED 1 h",
                                      "MOVED 1 h:",   "MOVED 1 h:0",     "ASK 1 h:65536",
                                      "ASK 1 ?:6379", "MOVED 1 h:1 h:2", "MOVED 1 h:1 more"};

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_rc(bad[i], -EPROTO);
}

static void test_other_errors_are_no_redirects(void **state)
{
    (void)state;
    assert_rc("", 0);
    assert_rc("CLUSTERDOWN Hash slot not served", 0);
    assert_rc("MOVEDX 1 h:1", 0);
    assert_rc("ERR Error running script (call to f): @user_script:1: -MOVED 1 h:1", 0);
}

static void test_commands_without_keys_are_known(void **state)
{
    (void)state;
    assert_int_equal(redis_command_kind_of(SPAN("XADD")), REDIS_KEYED);
    assert_int_equal(redis_command_kind_of(SPAN("EVALSHA")), REDIS_KEYED);
    assert_int_equal(redis_command_kind_of(SPAN("wait")), REDIS_WAIT);
    assert_int_equal(redis_command_kind_of(SPAN("SCRIPT")), REDIS_KEYLESS);
    assert_int_equal(redis_command_kind_of(SPAN("MULTI")), REDIS_MULTI);
    assert_int_equal(redis_command_kind_of(SPAN("EXEC")), REDIS_EXEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_other_node_is_read),
        cmocka_unit_test(test_ipv6_has_no_brackets),
        cmocka_unit_test(test_without_a_host_it_is_the_same_host),
        cmocka_unit_test(test_what_names_no_node_is_invalid),
        cmocka_unit_test(test_other_errors_are_no_redirects),
        cmocka_unit_test(test_commands_without_keys_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
