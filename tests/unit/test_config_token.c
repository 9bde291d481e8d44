/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_file.h"

static struct error error;

static int read_token(const char *file_text, const char *env, char **token)
{
    char path[] = "/tmp/purgeline-token-XXXXXX";
    int fd = mkstemp(path);
    struct config_account a = {.name = (char *)"main",
                               .token_file = file_text ? path : (char *)"",
                               .token_env = (char *)"FASTLY_API_TOKEN"};
    int rc;

    assert_true(fd >= 0);
    close(fd);
    unsetenv("FASTLY_API_TOKEN");
    if (env)
        setenv("FASTLY_API_TOKEN", env, 1);
    if (file_text) {
        FILE *f = fopen(a.token_file, "w");

        assert_non_null(f);
        assert_true(fputs(file_text, f) >= 0);
        fclose(f);
    }
    rc = config_read_token(&a, token, &error);
    unlink(path);
    return rc;
}

static void the_token_is_read_from_its_file_without_the_newline(void **state)
{
    char *token;

    (void)state;
    assert_int_equal(read_token(" abc\r\n", "other", &token), 0);
    assert_string_equal(token, "abc");
    free(token);
}

static void a_file_that_anybody_may_change_is_not_read(void **state)
{
    struct config_account a = {.name = (char *)"main",
                               .token_file = (char *)"/tmp/purgeline-token-w",
                               .token_env = (char *)""};
    FILE *f = fopen(a.token_file, "w");
    char *token;

    (void)state;
    assert_non_null(f);
    assert_true(fputs("abc", f) >= 0);
    fclose(f);
    assert_int_equal(chmod(a.token_file, 0602), 0);
    assert_int_equal(config_read_token(&a, &token, &error), -EPERM);
    assert_string_equal(error.text,
                        "/tmp/purgeline-token-w: anybody may change it, so it is not read: "
                        "chmod 640");
    assert_int_equal(chmod(a.token_file, 0640), 0);
    assert_int_equal(config_read_token(&a, &token, &error), 0);
    free(token);
    unlink(a.token_file);
}

static void the_token_is_read_from_the_environment(void **state)
{
    char *token;

    (void)state;
    assert_int_equal(read_token(NULL, "abc", &token), 0);
    assert_string_equal(token, "abc");
    free(token);
}

static void a_missing_token_differs_from_a_bad_one_and_neither_is_shown(void **state)
{
    char *token = NULL;

    (void)state;
    assert_int_equal(read_token(NULL, NULL, &token), -ENOENT);
    assert_int_equal(read_token(NULL, "", &token), -ENOENT);
    assert_int_equal(read_token("\n", NULL, &token), -ENOENT);
    assert_int_equal(read_token(NULL, "sec ret", &token), -EINVAL);
    assert_null(strstr(error.text, "sec"));
    assert_int_equal(read_token("sec\nret", NULL, &token), -EINVAL);
    assert_null(strstr(error.text, "sec"));
    assert_null(token);
}

/* -- secrets of hooks -- */

struct secret {
    enum hook_scheme scheme;
    const char *file_text, *env;
};

static int read_secret(struct secret from, char **secret)
{
    char path[] = "/tmp/purgeline-secret-XXXXXX";
    int fd = mkstemp(path), rc;
    struct config_hook h = {.name = (char *)"cms",
                            .secret_file = from.file_text ? path : (char *)"",
                            .secret_env = (char *)"HOOK_SECRET",
                            .signature.scheme = from.scheme};

    assert_true(fd >= 0);
    unsetenv("HOOK_SECRET");
    if (from.env)
        setenv("HOOK_SECRET", from.env, 1);
    if (from.file_text)
        assert_int_equal(write(fd, from.file_text, strlen(from.file_text)), strlen(from.file_text));
    close(fd);
    rc = config_read_secret(&h, secret, &error);
    unlink(path);
    return rc;
}

static void assert_secret(struct secret from, const char *expected)
{
    char *secret;

    if (read_secret(from, &secret) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(secret, expected);
    free(secret);
}

static void a_secret_is_read_from_its_file_or_else_from_the_environment(void **state)
{
    (void)state;
    assert_secret((struct secret){.file_text = " \tabc\r\n", .env = "other"}, "abc");
    assert_secret((struct secret){.env = "abc\n"}, "abc");
}

static void the_secret_of_a_digest_is_any_text(void **state)
{
    (void)state;
    assert_secret((struct secret){HOOK_HMAC_SHA256, "a b \xc3\xa4\n", NULL}, "a b \xc3\xa4");
    assert_secret((struct secret){HOOK_TOKEN, "a-b", NULL}, "a-b");
}

static void a_secret_that_cannot_be_is_refused_and_not_shown(void **state)
{
    char *secret = NULL;

    (void)state;
    assert_int_equal(read_secret((struct secret){HOOK_HMAC_SHA1, "sec\nret", NULL}, &secret),
                     -EINVAL);
    assert_null(strstr(error.text, "sec\n"));
    assert_non_null(strstr(error.text, ": byte 4 of the secret is no printable character"));
    assert_int_equal(read_secret((struct secret){HOOK_TOKEN, NULL, "sec ret"}, &secret), -EINVAL);
    assert_string_equal(error.text, "HOOK_SECRET: byte 4 of the secret is no printable character");
    assert_int_equal(read_secret((struct secret){HOOK_HMAC_SHA256, "\n", NULL}, &secret), -ENOENT);
    assert_int_equal(read_secret((struct secret){HOOK_HMAC_SHA256, NULL, ""}, &secret), -ENOENT);
    assert_string_equal(error.text, "HOOK_SECRET: it is empty");
    assert_null(secret);
}

static void a_secret_of_4096_bytes_is_taken_and_of_4097_is_not(void **state)
{
    char text[4098];
    char *secret;

    (void)state;
    memset(text, 's', sizeof(text));
    for (size_t n = 4095; n <= 4097; n++) {
        text[n] = '\0';
        for (int file = 0; file <= 1; file++) {
            struct secret from = {.file_text = file ? text : NULL, .env = file ? NULL : text};

            assert_int_equal(read_secret(from, &secret), n <= 4096 ? 0 : -EINVAL);
            if (n <= 4096)
                free(secret);
        }
        text[n] = 's';
    }
    assert_non_null(strstr(error.text, "longer than 4096 bytes"));
    assert_null(strstr(error.text, "sss"));
}

static void what_must_be_set_is_said_when_there_is_no_secret(void **state)
{
    struct config_hook h = {
        .name = (char *)"cms", .secret_file = (char *)"", .secret_env = (char *)""};
    char *secret = NULL;

    (void)state;
    assert_int_equal(read_secret((struct secret){0}, &secret), -ENOENT);
    assert_string_equal(error.text, "hook cms: no secret: set $HOOK_SECRET or secret_file");
    assert_int_equal(config_read_secret(&h, &secret, &error), -ENOENT);
    assert_string_equal(error.text, "hook cms: no secret: set secret_env or secret_file");
    h.secret_file = (char *)"/nowhere/secret";
    assert_int_equal(config_read_secret(&h, &secret, &error), -ENOENT);
    assert_string_equal(error.text,
                        "/nowhere/secret: cannot read the secret: No such file or directory");
    assert_null(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_read_from_its_file_without_the_newline),
        cmocka_unit_test(the_token_is_read_from_the_environment),
        cmocka_unit_test(a_file_that_anybody_may_change_is_not_read),
        cmocka_unit_test(a_missing_token_differs_from_a_bad_one_and_neither_is_shown),
        cmocka_unit_test(a_secret_is_read_from_its_file_or_else_from_the_environment),
        cmocka_unit_test(the_secret_of_a_digest_is_any_text),
        cmocka_unit_test(a_secret_that_cannot_be_is_refused_and_not_shown),
        cmocka_unit_test(a_secret_of_4096_bytes_is_taken_and_of_4097_is_not),
        cmocka_unit_test(what_must_be_set_is_said_when_there_is_no_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
