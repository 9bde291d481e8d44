/* SPDX-License-Identifier: MIT */
#include "config_world.h"

#define ACCOUNT "accounts: [{name: main, services: [{id: S1, name: news}]}]\n"
#define TWO                                                                                        \
    "accounts: [{name: one, services: [{id: S1, name: news}]},\n"                                  \
    "  {name: two, services: [{id: S2}, {id: S3}]}]\n"
#define PAGE "url: \"https://h/p\", key: k"

static void every_setting_of_a_canary_is_read(void **state)
{
    struct config c;

    (void)state;
    must_load(TWO
              "canaries:\n"
              "  - {name: a, account: two, service: S3, url: \"http://h:8/p?q\", key: \"k/+%*\",\n"
              "     every_s: 10}\n"
              "  - {name: b, account: one, " PAGE "}\n",
              &c);
    assert_int_equal(c.canaries_count, 2);
    assert_string_equal(c.canaries[0].name, "a");
    assert_string_equal(c.canaries[0].url, "http://h:8/p?q");
    assert_string_equal(c.canaries[0].key, "k/+%*");
    assert_int_equal(c.canaries[0].every_s, 10);
    assert_string_equal(config_service(&c.accounts[1], c.canaries[0].service)->id, "S3");
    assert_int_equal(c.canaries[1].every_s, 60);
    assert_string_equal(config_service(&c.accounts[0], c.canaries[1].service)->id, "S1");
    config_deinit(&c);
}

static void without_a_word_there_is_none(void **state)
{
    struct config c;

    (void)state;
    must_load("", &c);
    assert_int_equal(c.canaries_count, 0);
    config_deinit(&c);
}

static void a_canary_must_be_purgeable(void **state)
{
    (void)state;
    assert_refused(ACCOUNT "canaries: [{name: a, account: b, " PAGE "}]",
                   "purgeline.yaml:2: canaries[0].account: there is no account 'b'");
    assert_refused(
        TWO "canaries: [{name: a, " PAGE "}]",
        "purgeline.yaml:3: canaries[0].account: there are 2 accounts; one must be named");
    assert_refused(
        ACCOUNT "canaries: [{name: a, service: sports, " PAGE "}]",
        "purgeline.yaml:2: canaries[0].service: expected one of the services of account main");
    assert_refused(
        TWO "canaries: [{name: a, account: two, " PAGE "}]",
        "purgeline.yaml:3: canaries[0].service: expected one of the services of account two");
    assert_refused(
        "accounts: [{name: main, services: [{id: S1}], url_mode: direct, direct_hosts: [i]}]\n"
        "canaries: [{name: a, " PAGE "}]",
        "purgeline.yaml:2: canaries[0].url: 'h' is not among the direct_hosts of account main");
}

static void what_is_no_page_or_no_key_is_refused(void **state)
{
    (void)state;
    assert_refused(ACCOUNT "canaries: [{name: a, url: h/p, key: k}]",
                   "purgeline.yaml:2: canaries[0].url: expected a URL like "
                   "https://www.example.com/page, found 'h/p'");
    assert_refused(ACCOUNT "canaries: [{name: a, url: \"https://h/../p\", key: k}]",
                   "purgeline.yaml:2: canaries[0].url: expected a URL like "
                   "https://www.example.com/page, found 'https://h/../p'");
    assert_refused(ACCOUNT "canaries: [{name: a, url: \"https://h/\", key: \"a b\"}]",
                   "purgeline.yaml:2: canaries[0].key: expected a surrogate key: up to 1024 bytes "
                   "without spaces, found 'a b'");
    assert_refused(ACCOUNT "canaries: [{name: a, url: \"https://h/\"}]",
                   "purgeline.yaml:2: canaries[0].key: missing");
    assert_refused(ACCOUNT "canaries: [{" PAGE "}]", "purgeline.yaml:2: canaries[0].name: missing");
    assert_refused(
        ACCOUNT "canaries: [{name: a, " PAGE ", every_s: 9}]",
        "purgeline.yaml:2: canaries[0].every_s: expected a number from 10 to 86400, found '9'");
    assert_refused(ACCOUNT "canaries: [{name: a, " PAGE "}, {name: a, " PAGE "}]",
                   "purgeline.yaml:2: canaries[1].name: 'a' is the name of canaries[0] already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_setting_of_a_canary_is_read),
        T(without_a_word_there_is_none),
        T(a_canary_must_be_purgeable),
        T(what_is_no_page_or_no_key_is_refused),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
