/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"
#include "redis_sentinel.h"
#include "unit.h"

static struct redis_address parsed(const char *url)
{
    struct redis_address a;
    struct error err = {""};

    if (redis_address_parse(url, &a, &err) < 0)
        fail_msg("%s: %s", url, err.text);
    return a;
}

static void refused(const char *url, const char *word)
{
    struct redis_address a = {.port = 77};
    struct error err = {""};

    assert_int_equal(redis_address_parse(url, &a, &err), -EINVAL);
    if (!strstr(err.text, word))
        fail_msg("%s: \"%s\" does not say \"%s\"", url, err.text, word);
    assert_null(strstr(err.text, "s3cret"));
    assert_int_equal(a.port, 77);
}

static void a_bare_host_gets_the_default_port_and_database(void **state)
{
    struct redis_address a = parsed("redis://cache.example");

    (void)state;
    assert_string_equal(a.host, "cache.example");
    assert_int_equal(a.port, 6379);
    assert_int_equal(a.db, 0);
    assert_null(a.user);
    assert_null(a.password);
    assert_false(a.tls);
    redis_address_deinit(&a);
}

static void every_part_is_found(void **state)
{
    struct redis_address a = parsed("redis://ann:s3cret@127.0.0.1:6400/7");

    (void)state;
    assert_string_equal(a.user, "ann");
    assert_string_equal(a.password, "s3cret");
    assert_string_equal(a.host, "127.0.0.1");
    assert_int_equal(a.port, 6400);
    assert_int_equal(a.db, 7);
    redis_address_deinit(&a);
}

static void a_password_may_hold_any_byte(void **state)
{
    struct redis_address a = parsed("redis://:a%40b%2F%3a@c:d@h");

    (void)state;
    assert_null(a.user);
    assert_string_equal(a.password, "a@b/:@c:d");
    assert_string_equal(a.host, "h");
    redis_address_deinit(&a);
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    struct redis_address a = parsed("redis://[::1]:6380/2"), b = parsed("redis://[fe80::1]");

    (void)state;
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 6380);
    assert_int_equal(a.db, 2);
    assert_string_equal(b.host, "fe80::1");
    redis_address_deinit(&a);
    redis_address_deinit(&b);
}

static void a_unix_socket_has_a_path_and_perhaps_a_database(void **state)
{
    struct redis_address a = parsed("unix:///run/redis.sock"), b = parsed("unix:///r?db=3");

    (void)state;
    assert_null(a.host);
    assert_string_equal(a.unix_path, "/run/redis.sock");
    assert_int_equal(a.db, 0);
    assert_string_equal(b.unix_path, "/r");
    assert_int_equal(b.db, 3);
    redis_address_deinit(&a);
    redis_address_deinit(&b);
}

static void a_unix_path_of_108_bytes_is_refused(void **state)
{
    char url[7 + 109] = "unix://";
    struct redis_address a;

    (void)state;
    memset(url + 7, '/', 107);
    a = parsed(url);
    assert_int_equal(strlen(a.unix_path), 107);
    redis_address_deinit(&a);
    memset(url + 7, '/', 108);
    refused(url, "107 bytes");
}

static void what_is_malformed_is_refused_without_the_password(void **state)
{
    (void)state;
    refused("", "expected redis://");
    refused("http://x", "expected redis://");
    refused("redis://", "host");
    refused("redis://:s3cret@", "host");
    refused("redis://:s3cret@h:0", "port");
    refused("redis://:s3cret@h:65536", "port");
    refused("redis://:s3cret@h:12x", "port");
    refused("redis://:s3cret@h/x", "database");
    refused("redis://:s3cret@h/65536", "database");
    refused("redis://s3cret@h", "user:password");
    refused("redis://:@h", "password is empty");
    refused("redis://:s3cret%4@h", "two hex digits");
    refused("redis://:s3cret%4g@h", "two hex digits");
    refused("redis://:s3cret%00@h", "two hex digits");
    refused("redis://[::1", "IPv6");
    refused("redis://[::1]x", "IPv6");
    refused("unix://relative", "absolute");
    refused("unix://", "absolute");
    refused("unix:///r?d=3", "db=N");
}

static void port_and_database_reach_their_ends(void **state)
{
    struct redis_address a = parsed("redis://h:65535/65535"), b = parsed("redis://h:1/");

    (void)state;
    assert_int_equal(a.port, 65535);
    assert_int_equal(a.db, 65535);
    assert_int_equal(b.port, 1);
    assert_int_equal(b.db, 0);
    redis_address_deinit(&a);
    redis_address_deinit(&b);
}

static void a_host_of_254_characters_is_refused(void **state)
{
    char url[8 + 255] = "redis://";
    struct redis_address a;

    (void)state;
    memset(url + 8, 'h', 253);
    a = parsed(url);
    redis_address_deinit(&a);
    memset(url + 8, 'h', 254);
    refused(url, "253");
}

/* -- Sentinel -- */

static void sentinels_are_a_list_before_the_name_of_the_master(void **state)
{
    struct redis_address a =
        parsed("redis+sentinel://ann:s3cret@h1:1,h2,[2001:db8::1]:26380/my-master.1_A/3");

    (void)state;
    assert_null(a.host);
    assert_string_equal(a.user, "ann");
    assert_string_equal(a.password, "s3cret");
    assert_string_equal(a.master, "my-master.1_A");
    assert_int_equal(a.db, 3);
    assert_int_equal(a.sentinels_count, 3);
    assert_string_equal(a.sentinels[0].host, "h1");
    assert_int_equal(a.sentinels[0].port, 1);
    assert_string_equal(a.sentinels[1].host, "h2");
    assert_int_equal(a.sentinels[1].port, 26379);
    assert_string_equal(a.sentinels[2].host, "2001:db8::1");
    assert_int_equal(a.sentinels[2].port, 26380);
    redis_address_deinit(&a);
}

static void hostile_lists_of_sentinels_are_refused(void **state)
{
    static const char *const many = "redis+sentinel://h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,"
                                    "h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h";
    char url[512];
    struct redis_address a;

    (void)state;
    refused("redis+sentinel://", "the host must have");
    refused("redis+sentinel:///m", "the host must have");
    refused("redis+sentinel://h1,/m", "separated by commas");
    refused("redis+sentinel://,h1/m", "the host must have");
    refused("redis+sentinel://h1,,h2/m", "the host must have");
    refused("redis+sentinel://h1:0/m", "the port");
    refused("redis+sentinel://h1:65536/m", "the port");
    refused("redis+sentinel://h1,[::1/m", "IPv6");
    refused("redis+sentinel://h1", "the name of the master");
    refused("redis+sentinel://h1/", "the name of the master");
    refused("redis+sentinel://h1//3", "the name of the master");
    refused("redis+sentinel://h1/a b", "the name of the master");
    refused("redis+sentinel://h1/a%2", "the name of the master");
    refused("redis+sentinel://h1/a%00b", "the name of the master");
    refused("redis+sentinel://h1/a%2fb", "the name of the master");
    refused("redis+sentinel://h1/m/x", "the database");
    refused("redis+sentinel://:s3cret@", "the host must have");
    refused("redis+sentinel://s3cret@h1/m", "user:password");
    refused("redis+sentinels://h1/m", "expected redis://");
    snprintf(url, sizeof(url), "%s/m", many);
    a = parsed(url);
    assert_int_equal(a.sentinels_count, REDIS_SENTINELS_MAX);
    redis_address_deinit(&a);
    snprintf(url, sizeof(url), "%s,h/m", many);
    refused(url, "1 to 32 sentinels");
}

static void a_masters_name_has_at_most_255_bytes(void **state)
{
    char url[512] = "redis+sentinel://h/";
    size_t n = strlen(url);
    struct redis_address a;

    (void)state;
    memset(url + n, 'm', 255);
    a = parsed(url);
    redis_address_deinit(&a);
    url[n + 255] = 'm';
    refused(url, "the name of the master");
}

static void sentinels_are_asked_in_turn_with_their_own_login(void **state)
{
    struct redis_address a = parsed("redis+sentinel://ann:s3cret@h1,h2:5,h3/m/2"), b, s;

    (void)state;
    a.sentinel_user = strdup("bob");
    redis_address_copy(&a, &b);
    redis_address_deinit(&a);
    redis_address_next_sentinel(&b);
    redis_address_first_sentinel(&b, &s);
    assert_string_equal(s.host, "h2");
    assert_int_equal(s.port, 5);
    assert_string_equal(s.user, "bob");
    assert_null(s.password);
    assert_null(s.master);
    assert_int_equal(s.db, 0);
    redis_address_deinit(&s);
    redis_address_next_sentinel(&b);
    redis_address_next_sentinel(&b);
    assert_string_equal(b.sentinels[0].host, "h1");
    assert_string_equal(b.sentinels[2].host, "h3");
    redis_address_deinit(&b);
}

static bool switched(const char *text, struct redis_place *out)
{
    return redis_sentinel_switched(span_str(text), "m", out);
}

static void news_of_a_failover_name_the_new_master(void **state)
{
    struct redis_place at = {0};

    (void)state;
    assert_true(switched("m 10.0.0.1 6379 ::1 6380", &at));
    assert_string_equal(at.host, "::1");
    assert_int_equal(at.port, 6380);
    free(at.host);
    assert_false(switched("mm 10.0.0.1 6379 10.0.0.2 6379", &at));
    assert_false(switched("m 10.0.0.1 6379 10.0.0.2", &at));
    assert_false(switched("m 10.0.0.1 6379 10.0.0.2 0", &at));
    assert_false(switched("m 10.0.0.1 6379 10.0.0.2 65536", &at));
    assert_false(switched("m 10.0.0.1 6379 10.0.0.2 6379 x", &at));
    assert_false(switched("", &at));
}

static void a_name_for_people_has_no_password(void **state)
{
    struct redis_address a = parsed("redis+sentinel://ann:s3cret@h1,h2/m");
    const struct redis_place at = {(char *)"h9", 6};
    char name[300];

    (void)state;
    redis_address_name(&a, name, sizeof(name));
    assert_string_equal(name, "master m of 2 sentinels");
    redis_address_set_place(&a, &at);
    redis_address_name(&a, name, sizeof(name));
    assert_string_equal(name, "h9:6");
    redis_address_deinit(&a);
}

/* -- Cluster -- */

static void nodes_of_a_cluster_are_a_list(void **state)
{
    struct redis_address a = parsed("rediss+cluster://ann:s3cret@h1:1,h2,[2001:db8::1]:7000"), copy;
    char name[300];

    (void)state;
    assert_true(a.cluster && a.tls);
    assert_null(a.host);
    assert_string_equal(a.user, "ann");
    assert_string_equal(a.password, "s3cret");
    redis_address_copy(&a, &copy);
    redis_address_deinit(&a);
    assert_int_equal(copy.nodes_count, 3);
    assert_string_equal(copy.nodes[0].host, "h1");
    assert_int_equal(copy.nodes[0].port, 1);
    assert_int_equal(copy.nodes[1].port, 6379);
    assert_string_equal(copy.nodes[2].host, "2001:db8::1");
    assert_int_equal(copy.nodes[2].port, 7000);
    redis_address_name(&copy, name, sizeof(name));
    assert_string_equal(name, "a Cluster (h1:1 and 2 other nodes)");
    redis_address_deinit(&copy);
}

static void lists_of_nodes_that_make_no_sense_are_refused(void **state)
{
    struct redis_address a = parsed("redis+cluster://h1/0");

    (void)state;
    redis_address_deinit(&a);
    refused("redis+cluster://", "the host must have");
    refused("redis+cluster://h1,", "separated by commas");
    refused("redis+cluster://h1,,h2", "the host must have");
    refused("redis+cluster://h1:65536", "the port");
    refused("redis+cluster://h1/1", "a Cluster has only database 0");
    refused("redis+cluster://h1/mymaster", "a Cluster has only database 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_host_gets_the_default_port_and_database),
        cmocka_unit_test(every_part_is_found),
        cmocka_unit_test(a_password_may_hold_any_byte),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(a_unix_socket_has_a_path_and_perhaps_a_database),
        cmocka_unit_test(a_unix_path_of_108_bytes_is_refused),
        cmocka_unit_test(what_is_malformed_is_refused_without_the_password),
        cmocka_unit_test(port_and_database_reach_their_ends),
        cmocka_unit_test(a_host_of_254_characters_is_refused),
        cmocka_unit_test(sentinels_are_a_list_before_the_name_of_the_master),
        cmocka_unit_test(hostile_lists_of_sentinels_are_refused),
        cmocka_unit_test(a_masters_name_has_at_most_255_bytes),
        cmocka_unit_test(sentinels_are_asked_in_turn_with_their_own_login),
        cmocka_unit_test(news_of_a_failover_name_the_new_master),
        cmocka_unit_test(a_name_for_people_has_no_password),
        cmocka_unit_test(nodes_of_a_cluster_are_a_list),
        cmocka_unit_test(lists_of_nodes_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
