/* SPDX-License-Identifier: MIT */
#include "config_world.h"

static void a_key_that_stands_there_twice_is_refused_with_both_lines(void **state)
{
    (void)state;
    assert_refused("senders: 1\nwindow: 5\nsenders: 1\n",
                   "purgeline.yaml:3: senders: stands there twice, first in line 1");
    assert_refused("accounts:\n  - budget:\n      purges: 1\n      per_s: 2\n      purges: 1\n",
                   "purgeline.yaml:5: accounts[0].budget.purges: stands there twice, first in line "
                   "3");
    assert_refused("accounts: []\nhooks: []\naccounts: []\n",
                   "purgeline.yaml:3: accounts: stands there twice, first in line 1");
    assert_refused("accounts:\n  - services:\n    - id: a\n      id: b\n",
                   "purgeline.yaml:4: accounts[0].services[0].id: stands there twice, first in "
                   "line 3");
}

static void groups_are_known_in_their_place_only(void **state)
{
    (void)state;
    assert_refused("http: {accounts: []}\n", "purgeline.yaml:1: http.accounts: no such setting");
    assert_refused("http.idle_s: 5\n", "purgeline.yaml:1: http.idle_s: no such setting");
    assert_refused("accounts: [{lanes: {linger_ms: 5}}]\n",
                   "purgeline.yaml:1: accounts[0].lanes.linger_ms: no such setting");
    assert_refused("accounts: [{senders: 5}]\n",
                   "purgeline.yaml:1: accounts[0].senders: no such setting");
    assert_refused("accounts: [{lanes: {blk: {}}}]\n",
                   "purgeline.yaml:1: accounts[0].lanes.blk: no such setting; did you mean bulk?");
    assert_refused("\"\": 5\n", "purgeline.yaml:1: '': no such setting");
}

static void a_key_without_end_is_cut(void **state)
{
    char key[100], text[200], expected[200];

    (void)state;
    memset(key, 'k', sizeof(key));
    key[99] = '\0';
    snprintf(text, sizeof(text), "%s: 1\n", key);
    snprintf(expected, sizeof(expected), "purgeline.yaml:1: %.63s: no such setting", key);
    assert_refused(text, expected);
}

static void nothing_where_something_is_expected_is_called_nothing(void **state)
{
    (void)state;
    assert_refused("accounts:\n", "purgeline.yaml:1: accounts: expected a list, found nothing");
    assert_refused("http:\n", "purgeline.yaml:1: http: expected settings below it, found nothing");
    assert_refused("---\n", "purgeline.yaml:2: expected settings below it, found nothing");
}

static void a_bare_service_is_shown_how_it_is_written(void **state)
{
    (void)state;
    assert_refused("accounts:\n  - services: SU1\n",
                   "purgeline.yaml:2: accounts[0].services: expected [{id: SU1Z0isxPaozGVKXdv0eY, "
                   "name: news}], found 'SU1'");
    assert_refused("accounts:\n  - services:\n    - \"\\e[1m\"\n",
                   "purgeline.yaml:3: accounts[0].services[0]: expected {id: "
                   "SU1Z0isxPaozGVKXdv0eY, name: news}, found '\\x1b[1m'");
    assert_refused("accounts:\n  - services: [[a]]\n",
                   "purgeline.yaml:2: accounts[0].services[0]: expected settings below it, found a "
                   "list");
    assert_refused("accounts:\n  - services: {id: a}\n",
                   "purgeline.yaml:2: accounts[0].services: expected up to 1024 services with an "
                   "id of at most 64 letters and digits, found settings below it");
    assert_refused("accounts:\n  - services: [{id: [a]}]\n",
                   "purgeline.yaml:2: accounts[0].services[0].id: expected text, found a list");
    assert_refused("accounts:\n  - services:\n    - name: x\n      id: a/b\n",
                   "purgeline.yaml:4: accounts[0].services[0].id: expected an id of 1 to 64 "
                   "letters and digits, and a name of at most 255 printable bytes");
}

/* Loads a list whose items consist of `head`, five digits and `tail`. */
static void load_many(const char *before, const char *head, const char *tail, unsigned count,
                      const char *after, const char *refusal)
{
    struct config c;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%s[", before);
    for (unsigned i = 0; i < count; i++)
        buf_printf(&text, "%s%05u%s,", head, i, tail);
    buf_printf(&text, "]%s", after);
    if (refusal) {
        assert_refused(text.p, refusal);
    } else {
        must_load(text.p, &c);
        config_deinit(&c);
    }
    buf_deinit(&text);
}

static void a_list_has_as_many_entries_as_are_kept_and_no_more(void **state)
{
    (void)state;
    load_many("accounts: [{services: ", "{id: a", "}", 1024, "}]", NULL);
    load_many("accounts: [{services: ", "{id: a", "}", 1025, "}]",
              "purgeline.yaml:1: accounts[0].services: expected at most 1024 entries");
    load_many("accounts: [{direct_hosts: ", "a", ".b", 256, "}]", NULL);
    load_many("accounts: [{direct_hosts: ", "a", ".b", 257, "}]",
              "purgeline.yaml:1: accounts[0].direct_hosts: expected at most 256 entries");
    load_many("listen: ", "\"a:", "\"", 257, "",
              "purgeline.yaml:1: listen: expected at most 256 entries");
    load_many("listen: ", "\"127.0.0.1:", "\"", 64, "\nsenders: 1\n", NULL); /* 64 x 15 + 63 */
    load_many("listen: ", "\"127.0.0.11:", "\"", 65, "",
              "purgeline.yaml:1: listen: longer than 1024 bytes");
    assert_refused("producers: [" PRODUCER ", kinds: [url, url, url, url]}]\n",
                   "purgeline.yaml:1: producers[0].kinds: expected at most 3 entries");
}

static void a_list_holds_texts(void **state)
{
    (void)state;
    assert_refused("accounts:\n  - direct_hosts:\n    - a.b\n    - {c: d}\n",
                   "purgeline.yaml:4: accounts[0].direct_hosts[1]: expected text, found settings "
                   "below it");
    assert_refused("accounts:\n  - direct_hosts: a.b\n",
                   "purgeline.yaml:2: accounts[0].direct_hosts: expected up to 256 host names, "
                   "found a single value");
    assert_refused("listen: [[a]]\n", "purgeline.yaml:1: listen[0]: expected text, found a list");
    assert_refused("accounts: [x]\n",
                   "purgeline.yaml:1: accounts[0]: expected settings below it, found a single "
                   "value");
}

static void the_first_mistake_of_the_file_is_the_one_that_is_told(void **state)
{
    (void)state;
    assert_refused("senders: x\ncolour: blue\n",
                   "purgeline.yaml:1: senders: expected a number from 0 to 256, found 'x'");
}

static void a_mistake_in_what_an_alias_repeats_has_the_path_of_the_alias(void **state)
{
    (void)state;
    assert_refused("accounts:\n  - budget: &b\n      purges: 5\n    writes: *b\n",
                   "purgeline.yaml:3: accounts[0].writes.purges: no such setting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_key_that_stands_there_twice_is_refused_with_both_lines),
        T(groups_are_known_in_their_place_only),
        T(a_key_without_end_is_cut),
        T(nothing_where_something_is_expected_is_called_nothing),
        T(a_bare_service_is_shown_how_it_is_written),
        T(a_list_has_as_many_entries_as_are_kept_and_no_more),
        T(a_list_holds_texts),
        T(the_first_mistake_of_the_file_is_the_one_that_is_told),
        T(a_mistake_in_what_an_alias_repeats_has_the_path_of_the_alias),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
