/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_file.h"

static char error[1024];

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
    rc = config_read_token(&a, token, error, sizeof(error));
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

static void the_token_is_read_from_the_environment(void **state)
{
    char *token;

    (void)state;
    assert_int_equal(read_token(NULL, "abc", &token), 0);
    assert_string_equal(token, "abc");
    free(token);
}

static void no_token_is_told_from_a_bad_one_and_neither_is_shown(void **state)
{
    char *token = NULL;

    (void)state;
    assert_int_equal(read_token(NULL, NULL, &token), -ENOENT);
    assert_int_equal(read_token(NULL, "", &token), -ENOENT);
    assert_int_equal(read_token("\n", NULL, &token), -ENOENT);
    assert_int_equal(read_token(NULL, "sec ret", &token), -EINVAL);
    assert_null(strstr(error, "sec"));
    assert_int_equal(read_token("sec\nret", NULL, &token), -EINVAL);
    assert_null(strstr(error, "sec"));
    assert_null(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_read_from_its_file_without_the_newline),
        cmocka_unit_test(the_token_is_read_from_the_environment),
        cmocka_unit_test(no_token_is_told_from_a_bad_one_and_neither_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
