/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "setting.h"
#include "setting_value.h"

static struct error error;

static void set_api(const char *value, bool good)
{
    struct config_account a;
    int rc;

    config_account_init(&a);
    rc = setting_set(setting_find(SETTING_ACCOUNT, "api"), &a, value, &error);
    if ((rc == 0) != good)
        fail_msg("%s was %s", value, good ? "refused" : "taken");
    setting_free(SETTING_ACCOUNT, &a);
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

/* One of each struct that has settings. */
struct bases {
    struct config config;
    struct config_account account;
    struct config_producer producer;
    struct config_hook hook;
    struct config_consumer consumer;
    struct config_canary canary;
    void *of[SETTING_SCOPE_N];
};

static void bases_init(struct bases *b)
{
    config_init(&b->config);
    config_account_init(&b->account);
    config_producer_init(&b->producer);
    config_hook_init(&b->hook);
    config_consumer_init(&b->consumer);
    b->canary = (struct config_canary){0};
    setting_set_defaults(SETTING_CANARY, &b->canary);
    b->of[SETTING_GLOBAL] = &b->config;
    b->of[SETTING_ACCOUNT] = &b->account;
    b->of[SETTING_PRODUCER] = &b->producer;
    b->of[SETTING_HOOK] = &b->hook;
    b->of[SETTING_CONSUMER] = &b->consumer;
    b->of[SETTING_CANARY] = &b->canary;
}

static void bases_deinit(struct bases *b)
{
    for (enum setting_scope s = SETTING_GLOBAL; s < SETTING_SCOPE_N; s++)
        setting_free(s, b->of[s]);
}

/* Checks that the stored value is the value that was set: the field is large enough for the range.
 */
static void assert_held(const struct setting *s, const void *base, const char *text)
{
    struct buf printed;

    buf_init(&printed, 1024);
    setting_value_print(s, base, &printed);
    if (strcmp(printed.p, text) != 0)
        fail_msg("%s: %s became %s", s->name, text, printed.p);
    buf_deinit(&printed);
}

static void the_first_and_last_number_of_a_range_are_taken_and_their_neighbours_not(void **state)
{
    size_t count, numbers[SETTING_SCOPE_N] = {0};
    const struct setting *table = setting_table(&count);
    struct bases b;
    char text[32];

    (void)state;
    bases_init(&b);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        uint64_t tries[] = {s->min, s->max, s->min - 1, s->max + 1};

        for (size_t k = 0; s->type == SETTING_NUMBER && k < 4; k++) {
            snprintf(text, sizeof(text), "%llu", (unsigned long long)tries[k]);
            assert_int_equal(setting_set(s, b.of[s->scope], text, &error), k < 2 ? 0 : -EINVAL);
            if (k < 2)
                assert_held(s, b.of[s->scope], text);
        }
        numbers[s->scope] += s->type == SETTING_NUMBER;
    }
    assert_int_equal(b.config.http.connections, 1000000);
    assert_int_equal(b.config.http.body_max_bytes, 1073741824);
    assert_int_equal(b.producer.jobs_per_minute, 1000000000);
    assert_int_equal(b.hook.max_targets, 10000);
    for (enum setting_scope s = SETTING_GLOBAL; s < SETTING_SCOPE_N; s++)
        assert_true(numbers[s] > 0);
    bases_deinit(&b);
}

static void a_word_may_stand_for_a_number(void **state)
{
    const struct setting *s = setting_find(SETTING_HOOK, "repeat_after_ms");
    struct buf expected;
    struct bases b;

    (void)state;
    bases_init(&b);
    assert_int_equal(setting_set(s, &b.hook, "auto", &error), 0);
    assert_int_equal(b.hook.repeat_after_ms, CONFIG_REPEAT_AUTO);
    assert_held(s, &b.hook, "auto");
    assert_int_equal(setting_set(s, &b.hook, "Auto", &error), -EINVAL);
    assert_int_equal(setting_set(s, &b.hook, "4294967295", &error), -EINVAL);
    assert_held(s, &b.hook, "auto");
    assert_int_equal(
        setting_set(setting_find(SETTING_HOOK, "max_targets"), &b.hook, "auto", &error), -EINVAL);
    buf_init(&expected, 1024);
    setting_expects(s, &expected);
    assert_string_equal(expected.p, "a number from 0 to 86400000, or auto");
    buf_deinit(&expected);
    bases_deinit(&b);
}

static void set_size(const char *text, uint64_t expected)
{
    struct config c;
    struct buf printed;
    const struct setting *s = setting_find(SETTING_GLOBAL, "memory_max");
    int rc;

    config_init(&c);
    buf_init(&printed, 1024);
    rc = setting_set(s, &c, text, &error);
    if ((rc == 0) != (expected != 0))
        fail_msg("%s was %s", text, expected ? "refused" : "taken");
    assert_true(rc < 0 ? c.memory_max == 256 << 20 : c.memory_max == expected);
    setting_value_print(s, &c, &printed);
    assert_int_equal(setting_set(s, &c, printed.p, &error), 0);
    assert_true(rc < 0 ? c.memory_max == 256 << 20 : c.memory_max == expected);
    assert_in_range(config_jobs_max_bytes(&c) + config_visits_max_bytes(&c) +
                        config_heads_max_bytes(&c) + config_job_max_bytes(&c),
                    c.memory_max - 3, c.memory_max); /* the remainder of a division */
    buf_deinit(&printed);
    setting_free(SETTING_GLOBAL, &c);
}

static void a_size_may_have_a_unit(void **state)
{
    (void)state;
    set_size("64MiB", 64 << 20);
    set_size("32MiB", 32 << 20);
    set_size("33554432", 32 << 20);
    set_size("100000001", 100000001);
    set_size("32768KiB", 32 << 20);
    set_size("1GiB", 1 << 30);
    set_size("1TiB", UINT64_C(1) << 40);
    set_size("33554431", 0);
    set_size("1099511627777", 0);
    set_size("2TiB", 0);
    set_size("18014398509481984MiB", 0);
    set_size("18446744073709551616", 0);
    set_size("64MB", 0);
    set_size("64 MiB", 0);
    set_size("64mib", 0);
    set_size("MiB", 0);
    set_size("-64MiB", 0);
    set_size("", 0);
    set_size("1", 0);
    assert_non_null(strstr(error.text, "a size from 32MiB to 1TiB"));
}

static void every_setting_has_a_default_that_is_allowed_and_a_variable_of_its_own(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    char a[128], b[128];

    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool many = table[i].scope >= SETTING_PRODUCER;

        assert_int_equal(setting_env_name(&table[i], a, sizeof(a)),
                         table[i].type != SETTING_GROUP && !many);
        for (size_t k = 0; k < i; k++)
            if (setting_env_name(&table[i], a, sizeof(a)) &&
                setting_env_name(&table[k], b, sizeof(b)))
                assert_string_not_equal(a, b);
        /* A required setting has an example. */
        assert_true(table[i].type == SETTING_GROUP || table[i].fallback || table[i].example);
    }
}

static void every_setting_says_what_it_is_for(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++)
        assert_true(table[i].sentence || strncmp(table[i].name, "lanes.", 6) == 0);
}

/* -- forms -- */

struct attempt {
    const char *value;
    bool good;
};

static void try_all(enum setting_scope scope, const char *name, const struct attempt *tries,
                    size_t count)
{
    struct bases b;

    bases_init(&b);
    for (size_t i = 0; i < count; i++) {
        char *word = (char *)tries[i].value;
        const struct setting *s = setting_find(scope, name);
        uint32_t wrong;
        int rc = s->type == SETTING_WORDS
                     ? setting_set_words(s, b.of[scope], &word, 1, &wrong, &error)
                     : setting_set(s, b.of[scope], word, &error);

        if ((rc == 0) != tries[i].good)
            fail_msg("'%s' was %s", word, tries[i].good ? "refused" : "taken");
    }
    bases_deinit(&b);
}

#define TRY(scope, name, ...)                                                                      \
    try_all(scope, name, (const struct attempt[]){__VA_ARGS__},                                    \
            array_len(((const struct attempt[]){__VA_ARGS__})))

#define TEN "abcdefghij"
#define FIFTY TEN TEN TEN TEN TEN

static void a_name_is_of_at_most_64_lower_case_letters_and_digits(void **state)
{
    (void)state;
    TRY(SETTING_PRODUCER, "name", {"a", true}, {"0-_z", true}, {FIFTY "0123456789-123", true},
        {FIFTY "0123456789-1234", false}, {FIFTY "0123456789-12345", false}, {"", false},
        {"A", false}, {"a b", false}, {"a/b", false}, {"a.b", false});
    TRY(SETTING_HOOK, "name", {"contentful", true}, {"", false}, {"../x", false});
    TRY(SETTING_HOOK, "account", {"main", true}, {"", true}, {"Main", false});
}

#define PATH_99 FIFTY "012345678901234567890123456789012345678901234567/"

static void what_is_listened_on_is_a_port_or_a_socket_or_many(void **state)
{
    (void)state;
    TRY(SETTING_GLOBAL, "listen", {"127.0.0.1:8126", true}, {"[::1]:8126", true},
        {"unix:/run/purgeline/http.sock", true}, {"", true}, {"127.0.0.1:1,[::1]:1,unix:/a", true},
        {"127.0.0.1:1, [::1]:1 , unix:/a b", true}, {"unix:/" PATH_99 "1234567", true},
        {"unix:/" PATH_99 "12345678", false}, {"unix:relative", false}, {"unix:", false},
        {"unix:/", false}, {"unix:/run/", false}, {"127.0.0.1:1,127.0.0.1", false},
        {"unix:/a,:80", false}, {",", false});
    TRY(SETTING_GLOBAL, "http.unix_mode", {"0660", true}, {"600", true}, {"0777", true},
        {"", false}, {"0680", false}, {"1777", false}, {"00660", false}, {"66", false},
        {"rw", false});
    TRY(SETTING_GLOBAL, "http.unix_group", {"www-data", true}, {"_x", true}, {"", true},
        {"a:b", false}, {"-x", false});
}

static void a_producer_comes_from_addresses_networks_or_a_socket(void **state)
{
    (void)state;
    TRY(SETTING_PRODUCER, "from", {"10.1.0.0/16", true}, {"fd00::/8", true}, {"192.0.2.1", true},
        {"::1", true}, {"unix", true}, {"10.1.2.3/16", false}, {"fe80::1%eth0", false},
        {"localhost", false}, {"10.1.0.0/33", false}, {"", false});
}

static void a_digest_is_of_64_hex_digits(void **state)
{
    (void)state;
    TRY(SETTING_PRODUCER, "token_sha256",
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", true},
        {"9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08", true},
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0", false},
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a081", false},
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0g", false}, {"", true});
}

static void a_digest_is_kept_in_lower_case(void **state)
{
    struct config_producer p;

    (void)state;
    config_producer_init(&p);
    assert_int_equal(setting_set(setting_find(SETTING_PRODUCER, "token_sha256"), &p,
                                 "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
                                 &error),
                     0);
    assert_string_equal(p.token_sha256,
                        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
    setting_free(SETTING_PRODUCER, &p);
}

static void a_path_is_absolute_or_there_is_none(void **state)
{
    (void)state;
    TRY(SETTING_GLOBAL, "http.tls_key_file", {"/etc/key.pem", true}, {"", true}, {"key.pem", false},
        {"~/key.pem", false});
    TRY(SETTING_HOOK, "secret_file", {"/run/secret", true}, {"", true}, {"secret", false});
}

static void a_header_is_named_as_rfc_9110_says(void **state)
{
    (void)state;
    TRY(SETTING_HOOK, "signature.header", {"X-Hub-Signature-256", true}, {"", true}, {"a_b", true},
        {"a b", false}, {"a:", false}, {"a\r\nb", false}, {"\xc3\xa4", false});
}

static void a_host_pattern_is_a_host_or_a_star_and_a_domain(void **state)
{
    (void)state;
    TRY(SETTING_PRODUCER, "hosts", {"www.example.com", true}, {"*.example.com", true},
        {"localhost", true}, {"*", false}, {"*.", false}, {"*example.com", false},
        {"www.*.com", false}, {"*.*.com", false}, {".example.com", false}, {"example.com.", false},
        {"a..b", false}, {"https://example.com", false}, {"example.com/", false},
        {"example.com:80", false}, {"", false});
}

static void a_host_of_253_bytes_is_taken_and_of_254_is_not(void **state)
{
    (void)state;
    TRY(SETTING_PRODUCER, "hosts", {FIFTY FIFTY FIFTY FIFTY FIFTY "ab", true},
        {FIFTY FIFTY FIFTY FIFTY FIFTY "abc", true}, {FIFTY FIFTY FIFTY FIFTY FIFTY "abcd", false},
        {"*." FIFTY FIFTY FIFTY FIFTY FIFTY "abc", true});
}

static void a_condition_compares_something(void **state)
{
    (void)state;
    TRY(SETTING_HOOK, "when", {"sys.type=Entry", true}, {"header:x-topic=a=b", true},
        {"path=", true}, {"path", false}, {"=x", false}, {"header:=x", false}, {"", false});
}

static void only_what_is_signed_may_have_lines(void **state)
{
    (void)state;
    TRY(SETTING_HOOK, "signature.signs", {"{method}\n{body}", true}, {"{body}\r", false},
        {"", false});
    TRY(SETTING_HOOK, "signature.value", {"{digest}", true}, {"{digest}\n", false}, {"", false});
    TRY(SETTING_HOOK, "keys", {"article-{sys.id}", true}, {"a\nb", false}, {"", false});
}

static void a_text_of_1024_bytes_is_taken_and_of_1025_is_not(void **state)
{
    char text[1026];

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t n = 1023; n <= 1025; n++) {
        text[n] = '\0';
        TRY(SETTING_HOOK, "keys", {text, n <= 1024});
        TRY(SETTING_HOOK, "signature.value", {text, n <= 1024});
        text[n] = 'a';
    }
}

/* -- lists and sets -- */

static void a_list_takes_256_words_and_no_more(void **state)
{
    const struct setting *s = setting_find(SETTING_PRODUCER, "accounts");
    char *words[257];
    struct config_producer p;
    uint32_t wrong = 0;

    (void)state;
    config_producer_init(&p);
    for (size_t i = 0; i < 257; i++)
        words[i] = (char *)"a";
    for (uint32_t n = 255; n <= 256; n++) {
        assert_int_equal(setting_set_words(s, &p, words, n, &wrong, &error), 0);
        assert_int_equal(p.accounts.count, n);
    }
    assert_int_equal(setting_set_words(s, &p, words, 257, &wrong, &error), -EINVAL);
    assert_int_equal(wrong, 256);
    assert_int_equal(p.accounts.count, 256);
    setting_free(SETTING_PRODUCER, &p);
}

static void a_bad_word_leaves_the_list_as_it_was_and_is_pointed_at(void **state)
{
    const struct setting *s = setting_find(SETTING_PRODUCER, "hosts");
    struct config_producer p;
    uint32_t wrong = 0;

    (void)state;
    config_producer_init(&p);
    assert_int_equal(setting_set(s, &p, "a.example, b.example", &error), 0);
    assert_int_equal(
        setting_set_words(s, &p, (char *[]){(char *)"c", (char *)"/"}, 2, &wrong, &error), -EINVAL);
    assert_int_equal(wrong, 1);
    assert_string_equal(error.text,
                        "expected a host like www.example.com or *.example.com, found '/'");
    assert_int_equal(p.hosts.count, 2);
    assert_string_equal(p.hosts.at[1], "b.example");
    setting_free(SETTING_PRODUCER, &p);
}

static void a_set_has_a_bit_for_each_of_its_choices_and_is_never_empty(void **state)
{
    const struct setting *kinds = setting_find(SETTING_PRODUCER, "kinds");
    const struct setting *lanes = setting_find(SETTING_PRODUCER, "lanes");
    struct config_producer p;

    (void)state;
    config_producer_init(&p);
    assert_int_equal(p.kinds, PRODUCER_URL | PRODUCER_KEY);
    assert_int_equal(p.lanes, 1 << LANE_URGENT | 1 << LANE_NORMAL | 1 << LANE_BULK);
    assert_int_equal(setting_set(kinds, &p, "all", &error), 0);
    assert_int_equal(p.kinds, PRODUCER_ALL);
    assert_int_equal(setting_set(kinds, &p, "key,key,url", &error), 0);
    assert_int_equal(p.kinds, PRODUCER_URL | PRODUCER_KEY);
    assert_int_equal(setting_set(lanes, &p, "bulk", &error), 0);
    assert_int_equal(p.lanes, 1 << LANE_BULK);
    assert_int_equal(setting_set(kinds, &p, "", &error), -EINVAL);
    assert_string_equal(error.text, "expected some of url, key and all, found nothing");
    assert_int_equal(setting_set(kinds, &p, "url,purge", &error), -EINVAL);
    assert_int_equal(p.kinds, PRODUCER_URL | PRODUCER_KEY);
    setting_free(SETTING_PRODUCER, &p);
}

static void what_may_be_a_secret_is_in_no_sentence(void **state)
{
    static const struct {
        enum setting_scope scope;
        const char *name;
    } secrets[] = {{SETTING_PRODUCER, "token_sha256"}, {SETTING_ACCOUNT, "token_file"},
                   {SETTING_ACCOUNT, "token_env"},     {SETTING_HOOK, "secret_file"},
                   {SETTING_HOOK, "secret_env"},       {SETTING_GLOBAL, "redis"}};
    struct bases b;

    (void)state;
    bases_init(&b);
    for (size_t i = 0; i < array_len(secrets); i++) {
        const struct setting *s = setting_find(secrets[i].scope, secrets[i].name);

        assert_int_equal(setting_set(s, b.of[s->scope], "hunter2!", &error), -EINVAL);
        assert_null(strstr(error.text, "hunter2"));
    }
    bases_deinit(&b);
}

#define T(f) cmocka_unit_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_token_goes_over_https_or_stays_on_this_machine),
        T(the_first_and_last_number_of_a_range_are_taken_and_their_neighbours_not),
        T(a_word_may_stand_for_a_number),
        T(a_size_may_have_a_unit),
        T(every_setting_has_a_default_that_is_allowed_and_a_variable_of_its_own),
        T(every_setting_says_what_it_is_for),
        T(a_name_is_of_at_most_64_lower_case_letters_and_digits),
        T(what_is_listened_on_is_a_port_or_a_socket_or_many),
        T(a_producer_comes_from_addresses_networks_or_a_socket),
        T(a_digest_is_of_64_hex_digits),
        T(a_digest_is_kept_in_lower_case),
        T(a_path_is_absolute_or_there_is_none),
        T(a_header_is_named_as_rfc_9110_says),
        T(a_host_pattern_is_a_host_or_a_star_and_a_domain),
        T(a_host_of_253_bytes_is_taken_and_of_254_is_not),
        T(a_condition_compares_something),
        T(only_what_is_signed_may_have_lines),
        T(a_text_of_1024_bytes_is_taken_and_of_1025_is_not),
        T(a_list_takes_256_words_and_no_more),
        T(a_bad_word_leaves_the_list_as_it_was_and_is_pointed_at),
        T(a_set_has_a_bit_for_each_of_its_choices_and_is_never_empty),
        T(what_may_be_a_secret_is_in_no_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
