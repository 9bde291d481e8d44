/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "setting.h"

static char error[1024];

static void set_api(const char *value, bool good)
{
    struct config_account a;
    int rc;

    config_account_init(&a);
    rc = setting_set(setting_find(SETTING_ACCOUNT, "api"), &a, value, error, sizeof(error));
    if ((rc == 0) != good)
        fail_msg("%s was %s", value, good ? "refused" : "taken");
    free(a.name);
    free(a.api);
    free(a.ca_file);
    free(a.token_file);
    free(a.token_env);
    free(a.default_service);
}

static void the_token_goes_over_https_or_stays_on_this_machine(void **state)
{
    (void)state;
    set_api("https://api.fastly.com", true);
    set_api("https://api.fastly.com:8443/prefix", true);
    set_api("http://127.0.0.1:8080", true);
    set_api("http://127.3.2.1", true);
    set_api("http://localhost:80/x/", true);
    set_api("http://[::1]:8080", true);
    set_api("http://api.fastly.com", false);
    set_api("http://127.0.0.1.example.com", false);
    set_api("http://127.example.com", false);
    set_api("http://localhost.example.com", false);
    set_api("http://localhost@example.com", false);
    set_api("https://user:password@api.fastly.com", false);
    set_api("https://api.fastly.com?x", false);
    set_api("https://api.fastly.com#x", false);
    set_api("https://", false);
    set_api("https:///x", false);
    set_api("https://a:0", false);
    set_api("https://a:65536", false);
    set_api("https://a:", false);
    set_api("api.fastly.com", false);
    set_api("", false);
    set_api("https://a b", false);
}

static void the_first_and_last_number_of_a_range_are_taken_and_their_neighbours_not(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    struct config c;
    struct config_account a;
    char text[32];

    (void)state;
    config_init(&c);
    config_account_init(&a);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        void *base = s->scope == SETTING_GLOBAL ? (void *)&c : (void *)&a;
        uint64_t tries[] = {s->min, s->max, s->min - 1, s->max + 1};

        for (size_t k = 0; s->type == SETTING_NUMBER && k < 4; k++) {
            snprintf(text, sizeof(text), "%llu", (unsigned long long)tries[k]);
            assert_int_equal(setting_set(s, base, text, error, sizeof(error)), k < 2 ? 0 : -EINVAL);
        }
    }
    c.accounts = &a;
    c.accounts_count = 0;
    free(a.name);
    free(a.api);
    free(a.ca_file);
    free(a.token_file);
    free(a.token_env);
    free(a.default_service);
    c.accounts = NULL;
    config_deinit(&c);
}

static void every_setting_has_a_default_that_is_allowed_and_a_variable_of_its_own(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    char a[128], b[128];

    (void)state;
    for (size_t i = 0; i < count; i++) {
        setting_env_name(&table[i], a, sizeof(a));
        for (size_t k = 0; k < i; k++) {
            setting_env_name(&table[k], b, sizeof(b));
            assert_string_not_equal(a, b);
        }
        assert_true(table[i].type == SETTING_GROUP || table[i].fallback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_goes_over_https_or_stays_on_this_machine),
        cmocka_unit_test(the_first_and_last_number_of_a_range_are_taken_and_their_neighbours_not),
        cmocka_unit_test(every_setting_has_a_default_that_is_allowed_and_a_variable_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
