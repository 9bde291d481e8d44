/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "redis_error.h"

static void an_error_is_recognized_by_its_first_word(void **state)
{
    (void)state;
    assert_int_equal(redis_error_of("OOM command not allowed when used memory > 'maxmemory'."),
                     REDIS_ERROR_OOM);
    assert_int_equal(redis_error_of("LOADING Redis is loading the dataset in memory"),
                     REDIS_ERROR_LOADING);
    assert_int_equal(redis_error_of("NOSCRIPT No matching script. Please use EVAL."),
                     REDIS_ERROR_NOSCRIPT);
    assert_int_equal(redis_error_of("ERR max number of clients reached"), REDIS_ERROR_CLIENTS);
    assert_int_equal(redis_error_of("NOAUTH"), REDIS_ERROR_NOAUTH);
    assert_int_equal(redis_error_of("ERR value is not an integer"), REDIS_ERROR_OTHER);
    assert_int_equal(redis_error_of(""), REDIS_ERROR_OTHER);
}

static void the_first_word_counts_and_not_one_further_on(void **state)
{
    (void)state;
    assert_int_equal(redis_error_of("MISCONF Redis is BUSY saving"), REDIS_ERROR_MISCONF);
    assert_int_equal(redis_error_of("EXECABORT after OOM "), REDIS_ERROR_OTHER);
}

static void a_longer_word_is_another_error(void **state)
{
    (void)state;
    assert_int_equal(redis_error_of("BUSYGROUP Consumer Group name already exists"),
                     REDIS_ERROR_OTHER);
    assert_int_equal(redis_error_of("ERR Error running script: -BUSYKEY Target key name exists"),
                     REDIS_ERROR_OTHER);
    assert_int_equal(redis_error_of("ERR the ROOM is full"), REDIS_ERROR_OTHER);
}

/* As Redis 6.2, 7.0 and 8.0 report them. */
static void errors_inside_scripts_are_recognized(void **state)
{
    (void)state;
    assert_int_equal(redis_error_of("ERR Error running script (call to f_1): @user_script:3: "
                                    "@user_script: 3: -OOM command not allowed"),
                     REDIS_ERROR_OOM);
    assert_int_equal(redis_error_of("ERR Error running script (call to f_1): @user_script:3: "
                                    "WRONGTYPE Operation against a key"),
                     REDIS_ERROR_WRONGTYPE);
    assert_int_equal(redis_error_of("ERR Error running script: BUSYKEY, then -READONLY You can't"),
                     REDIS_ERROR_READONLY);
    assert_int_equal(redis_error_of("ERR The user executing the script can't run this command"),
                     REDIS_ERROR_NOPERM);
    assert_int_equal(redis_error_of("ERR ACL failure in script: no permissions"),
                     REDIS_ERROR_NOPERM);
}

static void each_error_has_its_consequences(void **state)
{
    static const struct {
        enum redis_error error;
        bool full, unfit, passes, advice;
    } rows[REDIS_ERROR_N] = {
        {REDIS_ERROR_OTHER, false, false, false, false},
        {REDIS_ERROR_OOM, true, false, true, true},
        {REDIS_ERROR_MISCONF, true, false, true, true},
        {REDIS_ERROR_NOREPLICAS, true, false, true, true},
        {REDIS_ERROR_UNREPLICATED, true, false, true, true},
        {REDIS_ERROR_BUSY, false, false, true, true},
        {REDIS_ERROR_LOADING, false, true, true, true},
        {REDIS_ERROR_READONLY, false, true, true, true},
        {REDIS_ERROR_MASTERDOWN, false, true, true, true},
        {REDIS_ERROR_CLUSTERDOWN, false, true, true, true},
        {REDIS_ERROR_MOVED, false, true, false, true},
        {REDIS_ERROR_ASK, false, false, false, false},
        {REDIS_ERROR_TRYAGAIN, false, false, true, true},
        {REDIS_ERROR_CLIENTS, false, false, false, true},
        {REDIS_ERROR_NOAUTH, false, true, false, true},
        {REDIS_ERROR_NOPERM, false, false, false, true},
        {REDIS_ERROR_WRONGTYPE, false, false, false, true},
        {REDIS_ERROR_NOSCRIPT, false, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        enum redis_error e = rows[i].error;

        assert_int_equal(e, i);
        assert_int_equal(redis_error_is_full(e), rows[i].full);
        assert_int_equal(redis_error_is_unfit(e), rows[i].unfit);
        assert_int_equal(redis_error_passes(e), rows[i].passes);
        assert_int_equal(*redis_error_advice(e) != '\0', rows[i].advice);
    }
}

static void a_missing_password_is_shown_as_advice_and_others_as_they_are(void **state)
{
    (void)state;
    assert_non_null(strstr(redis_error_shown("NOAUTH Authentication required."), "PASSWORD@HOST"));
    assert_string_equal(redis_error_shown("OOM command not allowed"), "OOM command not allowed");
    assert_string_equal(redis_error_shown("Connection refused"), "Connection refused");
    assert_string_equal(redis_error_shown("NOPERM User u has no permissions to run 'get'"),
                        "NOPERM User u has no permissions to run 'get'");
    assert_non_null(strstr(redis_error_shown("ERR user_script:6: ERR The user executing the script "
                                             "can't run this command or subcommand script: 263597"),
                           "NOPERM this user may not run a command that a script"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_recognized_by_its_first_word),
        cmocka_unit_test(the_first_word_counts_and_not_one_further_on),
        cmocka_unit_test(a_longer_word_is_another_error),
        cmocka_unit_test(errors_inside_scripts_are_recognized),
        cmocka_unit_test(each_error_has_its_consequences),
        cmocka_unit_test(a_missing_password_is_shown_as_advice_and_others_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
