/* SPDX-License-Identifier: MIT
 * What a reload changed of an account: values of numbers, flags and choices, and of other settings
 * only the names. */
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>

#include "config_file.h"
#include "json_text.h"
#include "reload.h"
#include "setting.h"

static struct config old, fresh;

static int setup(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(config_load(NULL, NULL, &old, &err), 0);
    assert_int_equal(config_load(NULL, NULL, &fresh, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_deinit(&old);
    config_deinit(&fresh);
    return 0;
}

static void set(const char *name, const char *text)
{
    struct error err;

    assert_int_equal(
        setting_set(setting_find(SETTING_ACCOUNT, name), &fresh.accounts[0], text, &err), 0);
}

static void expect(const char *wanted)
{
    json_t *changes = reload_changes(&old.accounts[0], &fresh.accounts[0]);
    char *text = json_text_line(changes);

    assert_string_equal(text, wanted);
    free(text);
    json_decref(changes);
}

static void what_was_set_to_the_same_value_has_not_changed(void **state)
{
    (void)state;
    expect("[]");
    set("attempts", "7");
    set("attempts", "10");
    set("direct_hosts", "www.example.com");
    set("direct_hosts", "");
    expect("[]");
}

static void numbers_flags_and_choices_have_both_values(void **state)
{
    (void)state;
    set("budget.purges", "2000");
    set("budget.separate", "true");
    set("key_form", "json");
    expect("[{\"name\":\"key_form\",\"from\":\"header\",\"to\":\"json\"},"
           "{\"name\":\"budget.purges\",\"from\":100000,\"to\":2000},"
           "{\"name\":\"budget.separate\",\"from\":false,\"to\":true}]");
}

static void texts_and_lists_are_only_named(void **state)
{
    (void)state;
    set("api", "https://user-and-password.example.com");
    set("token_file", "/etc/purgeline/another-token");
    set("services", "S9=a-secret-launch");
    set("direct_hosts", "a.example.com,b.example.com");
    expect("[{\"name\":\"api\"},{\"name\":\"token_file\"},{\"name\":\"services\"},"
           "{\"name\":\"direct_hosts\"}]");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_set_to_the_same_value_has_not_changed),
        T(numbers_flags_and_choices_have_both_values),
        T(texts_and_lists_are_only_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
