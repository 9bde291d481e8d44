/* SPDX-License-Identifier: MIT */
#include "config_world.h"

#include <sys/stat.h>

#include "redis_config.h"

static struct redis_address address_of(const char *text)
{
    struct redis_address a;
    struct config c;

    must_load(text, &c);
    assert_int_equal(redis_config_address(&c, &a, &error), 0);
    config_deinit(&c);
    return a;
}

static void without_settings_of_its_own_the_address_is_that_of_the_url(void **state)
{
    struct redis_address a = address_of("redis: redis://ann:s3cret@h:1/2");

    (void)state;
    assert_string_equal(a.user, "ann");
    assert_string_equal(a.password, "s3cret");
    assert_null(a.ca_file);
    assert_null(a.password_file);
    assert_int_equal(redis_address_refresh(&a, &error), 0);
    assert_string_equal(a.password, "s3cret");
    redis_address_deinit(&a);
}

static void the_embedded_redis_is_a_socket(void **state)
{
    struct redis_address a = address_of("");

    (void)state;
    assert_string_equal(a.unix_path, "/tmp/data/redis.sock");
    redis_address_deinit(&a);
}

static void a_changed_password_counts_at_the_next_connection(void **state)
{
    struct redis_address copy;
    struct redis_address a;

    (void)state;
    setenv("PURGELINE_REDIS_AUTH_USER", "ann", 1);
    setenv("PURGELINE_REDIS_AUTH_PASSWORD_FILE", "/proc/self/cwd/password", 1);
    a = address_of("redis: redis://h");
    assert_string_equal(a.user, "ann");
    assert_null(a.password);
    redis_address_copy(&a, &copy);
    redis_address_deinit(&a);
    write_file("password", "first\n", 6);
    assert_int_equal(redis_address_refresh(&copy, &error), 0);
    assert_string_equal(copy.password, "first");
    write_file("password", "second\n", 7);
    assert_int_equal(redis_address_refresh(&copy, &error), 0);
    assert_string_equal(copy.password, "second");
    unlink("password");
    assert_int_equal(redis_address_refresh(&copy, &error), -ENOENT);
    assert_string_equal(error.text, "redis_auth.password_file: /proc/self/cwd/password: cannot "
                                    "read the password: No such file or directory");
    redis_address_deinit(&copy);
}

static void a_password_file_that_anybody_may_change_is_not_read(void **state)
{
    struct redis_address a =
        address_of("{redis: redis://h, redis_auth: {password_file: /proc/self/cwd/password}}");

    (void)state;
    write_file("password", "x", 1);
    assert_int_equal(chmod("password", 0666), 0);
    assert_int_equal(redis_address_refresh(&a, &error), -EPERM);
    assert_null(a.password);
    unlink("password");
    redis_address_deinit(&a);
}

static void a_password_may_be_in_the_environment(void **state)
{
    struct redis_address a =
        address_of("{redis: redis://h, redis_auth: {password_env: THE_PASSWORD}}");

    (void)state;
    unsetenv("THE_PASSWORD");
    assert_int_equal(redis_address_refresh(&a, &error), -ENOENT);
    assert_string_equal(error.text, "redis_auth.password_env: $THE_PASSWORD: there is no such "
                                    "environment variable");
    setenv("THE_PASSWORD", "two words", 1);
    assert_int_equal(redis_address_refresh(&a, &error), 0);
    assert_string_equal(a.password, "two words");
    redis_address_deinit(&a);
}

static void contradictions_are_refused_by_their_setting(void **state)
{
    (void)state;
    assert_refused("redis: redis://:s3cret@h\nredis_auth:\n  password_file: /p",
                   "purgeline.yaml:3: redis_auth.password_file: the URL of Redis has a password, "
                   "too; only one of them may have it");
    assert_refused("redis: redis://:s3cret@h\nredis_auth:\n  user: u\n  password_env: P",
                   "purgeline.yaml:4: redis_auth.password_env: the URL of Redis has a password, "
                   "too; only one of them may have it");
    assert_refused("redis: redis://h\nredis_auth: {user: u}",
                   "purgeline.yaml:2: redis_auth.user: a user needs a password: set password_file "
                   "or password_env");
    assert_refused("redis: redis://h\nredis_auth: {password_file: /p, password_env: P}",
                   "purgeline.yaml:2: redis_auth.password_env: password_file is set, too; only one "
                   "of them may be");
    assert_refused("redis: redis://h\nredis_tls: {ca_file: /ca}",
                   "purgeline.yaml:2: redis_tls.ca_file: the URL of Redis has no TLS: use "
                   "rediss://");
    assert_refused("redis_auth: {password_file: /p}",
                   "purgeline.yaml:1: redis_auth.password_file: it is for a Redis elsewhere, and "
                   "redis is embedded");
    assert_refused("redis_tls: {key_file: /p}",
                   "purgeline.yaml:1: redis_tls.key_file: it is for a Redis elsewhere, and redis "
                   "is embedded");
    assert_refused("redis_auth: {pasword_file: /p}",
                   "purgeline.yaml:1: redis_auth.pasword_file: no such setting; did you mean "
                   "password_file?");
}

static void a_contradiction_from_the_environment_is_named_by_its_variable(void **state)
{
    (void)state;
    setenv("PURGELINE_REDIS_TLS_CA_FILE", "/ca", 1);
    assert_refused("redis: redis://h", "PURGELINE_REDIS_TLS_CA_FILE: the URL of Redis has no TLS: "
                                       "use rediss://");
}

static void an_url_from_the_command_line_replaces_the_configured_one(void **state)
{
    struct config c;

    (void)state;
    setenv("PURGELINE_REDIS_AUTH_PASSWORD_ENV", "P", 1);
    assert_int_equal(config_load(NULL, NULL, &c, &error), -EINVAL); /* it is embedded */
    assert_int_equal(config_load(NULL, "redis://h", &c, &error), 0);
    assert_string_equal(c.redis, "redis://h");
    config_deinit(&c);
    assert_int_equal(config_load(NULL, "redis://h:0", &c, &error), -EINVAL);
    assert_string_equal(error.text, "--redis: the port must be a number from 1 to 65535");
}

static void sentinels_have_a_login_of_their_own(void **state)
{
    struct redis_address a, first;

    (void)state;
    a = address_of("redis: redis+sentinel://:s3cret@h1,h2/m\nredis_auth: {sentinel_user: bob, "
                   "sentinel_password_file: /proc/self/cwd/password}");
    write_file("password", "other\n", 6);
    redis_address_first_sentinel(&a, &first);
    assert_int_equal(redis_address_refresh(&first, &error), 0);
    assert_string_equal(first.user, "bob");
    assert_string_equal(first.password, "other");
    assert_string_equal(a.password, "s3cret");
    redis_address_deinit(&first);
    unlink("password");
    redis_address_first_sentinel(&a, &first);
    assert_int_equal(redis_address_refresh(&first, &error), -ENOENT);
    assert_string_equal(error.text, "redis_auth.sentinel_password_file: /proc/self/cwd/password: "
                                    "cannot read the password: No such file or directory");
    redis_address_deinit(&first);
    redis_address_deinit(&a);
    assert_refused("redis: redis://h\nredis_auth: {sentinel_password_env: P}",
                   "purgeline.yaml:2: redis_auth.sentinel_password_env: the URL of Redis names no "
                   "sentinels: use redis+sentinel://");
    assert_refused("redis: redis+sentinel://h/m\nredis_auth: {sentinel_user: u}",
                   "purgeline.yaml:2: redis_auth.sentinel_user: a user needs a password: set "
                   "sentinel_password_file or sentinel_password_env");
}

static bool has_tls(void)
{
    struct redis_address a;

    if (redis_address_parse("rediss://h", &a, &error) < 0)
        return false;
    redis_address_deinit(&a);
    return true;
}

static void the_files_of_tls_are_named_if_they_cannot_be_read(void **state)
{
    struct redis_address a;

    (void)state;
    if (!has_tls())
        skip();
    assert_refused("redis: rediss://h\nredis_tls: {cert_file: /c}",
                   "purgeline.yaml:2: redis_tls.key_file: cert_file needs the key that belongs to "
                   "it");
    assert_refused("redis: rediss://h\nredis_tls: {key_file: /k}",
                   "purgeline.yaml:2: redis_tls.cert_file: key_file needs the certificate that "
                   "belongs to it");
    a = address_of("{redis: rediss://h, redis_tls: {ca_file: /proc/self/cwd/ca, cert_file: "
                   "/proc/self/cwd/cert, key_file: /proc/self/cwd/key}}");
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"ca", "cert", "key"};
        char expected[128];

        assert_int_equal(redis_address_refresh(&a, &error), -ENOENT);
        snprintf(expected, sizeof(expected),
                 "redis_tls.%s_file /proc/self/cwd/%s: No such file or directory", names[i],
                 names[i]);
        assert_string_equal(error.text, expected);
        write_file(names[i], "", 0);
    }
    assert_int_equal(redis_address_refresh(&a, &error), 0);
    unlink("ca");
    unlink("cert");
    unlink("key");
    redis_address_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_settings_of_its_own_the_address_is_that_of_the_url),
        T(the_embedded_redis_is_a_socket),
        T(a_changed_password_counts_at_the_next_connection),
        T(a_password_file_that_anybody_may_change_is_not_read),
        T(a_password_may_be_in_the_environment),
        T(contradictions_are_refused_by_their_setting),
        T(a_contradiction_from_the_environment_is_named_by_its_variable),
        T(an_url_from_the_command_line_replaces_the_configured_one),
        T(sentinels_have_a_login_of_their_own),
        T(the_files_of_tls_are_named_if_they_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
