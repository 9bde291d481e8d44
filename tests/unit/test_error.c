/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "error.h"

/* `filler` times 'x', followed by `tail`. */
static size_t length_of(size_t filler, const char *tail)
{
    char text[2 * ERROR_ROOM];
    struct error err;

    memset(text, 'x', filler);
    memcpy(text + filler, tail, strlen(tail) + 1);
    assert_int_equal(error_set(&err, -EIO, "%s", text), -EIO);
    assert_memory_equal(err.text, text, strlen(err.text));
    return strlen(err.text);
}

static void the_message_is_rendered_and_the_code_returned(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, -ENOENT, "%s: %d too many", "keys", 3), -ENOENT);
    assert_string_equal(err.text, "keys: 3 too many");
}

static void a_message_can_be_put_after_something_else(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, -EINVAL, "missing"), -EINVAL);
    assert_int_equal(error_set(&err, -EINVAL, "accounts[0]: %s; %s", err.text, err.text), -EINVAL);
    assert_string_equal(err.text, "accounts[0]: missing; missing");
}

static void a_message_that_just_fits_stays_whole(void **state)
{
    (void)state;
    assert_int_equal(length_of(ERROR_ROOM - 2, ""), ERROR_ROOM - 2);
    assert_int_equal(length_of(ERROR_ROOM - 1, ""), ERROR_ROOM - 1);
    assert_int_equal(length_of(ERROR_ROOM, ""), ERROR_ROOM - 1);
    assert_int_equal(length_of(ERROR_ROOM - 5, "\xf0\x9f\x98\x80"), ERROR_ROOM - 1);
}

static void a_long_message_is_cut_between_two_characters(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < array_len(characters); i++)
        for (size_t kept = 1; kept < strlen(characters[i]); kept++)
            assert_int_equal(length_of(ERROR_ROOM - 1 - kept, characters[i]),
                             ERROR_ROOM - 1 - kept);
    for (size_t i = 0; i < array_len(characters); i++) /* the last character that fits is kept */
        assert_int_equal(length_of(ERROR_ROOM - 1 - strlen(characters[i]), characters[i]),
                         ERROR_ROOM - 1);
}

static void only_one_character_is_dropped_even_from_bytes_that_are_no_text(void **state)
{
    char tail[64];

    (void)state;
    memset(tail, 0x80, sizeof(tail) - 1);
    tail[sizeof(tail) - 1] = '\0';
    assert_int_equal(length_of(ERROR_ROOM - 20, tail), ERROR_ROOM - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_message_is_rendered_and_the_code_returned),
        cmocka_unit_test(a_message_can_be_put_after_something_else),
        cmocka_unit_test(a_message_that_just_fits_stays_whole),
        cmocka_unit_test(a_long_message_is_cut_between_two_characters),
        cmocka_unit_test(only_one_character_is_dropped_even_from_bytes_that_are_no_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
