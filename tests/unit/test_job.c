/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "job.h"
#include "verify_page.h"

#define STRING(literal) ((char[]){literal})

static struct config_service services[] = {{STRING("SU1Z0isxPaozGVKXdv0eY"), STRING("news")},
                                           {STRING("SU2Z0isxPaozGVKXdv0eY"), STRING("shop")},
                                           {STRING("SU3Z0isxPaozGVKXdv0eY"), STRING("")}};
static char account_name[] = "main";
static struct config_account account; /* set by each test */
static struct job_decoder decoder;
static struct job_spec spec;
static struct error err;

static int before(void **state)
{
    (void)state;
    account =
        (struct config_account){.name = account_name, .services = services, .services_count = 1};
    spec = (struct job_spec){.service = 4711};
    return 0;
}

static int open_decoder(void **state)
{
    (void)state;
    job_decoder_init(&decoder);
    return 0;
}

static int close_decoder(void **state)
{
    (void)state;
    job_decoder_deinit(&decoder);
    return 0;
}

#define DECODE(...)                                                                                \
    job_decode(&decoder, &account, (struct span[]){__VA_ARGS__},                                   \
               sizeof((struct span[]){__VA_ARGS__}) / sizeof(struct span), &spec, &err)

#define GOOD(...)                                                                                  \
    do {                                                                                           \
        err.text[0] = '\0';                                                                        \
        if (DECODE(__VA_ARGS__) < 0)                                                               \
            fail_msg("refused: %s", err.text);                                                     \
    } while (0)

/* The job is refused with exactly this sentence, and no output is written. */
#define BAD(sentence, ...)                                                                         \
    do {                                                                                           \
        struct job_spec untouched = spec;                                                          \
        assert_int_equal(DECODE(__VA_ARGS__), -EINVAL);                                            \
        assert_string_equal(err.text, sentence);                                                   \
        assert_memory_equal(&untouched, &spec, sizeof(spec));                                      \
    } while (0)

static void has_target(uint32_t at, enum target_kind kind, const char *bytes)
{
    assert_true(at < spec.targets_count);
    assert_int_equal(spec.targets[at].kind, kind);
    assert_true(span_is(spec.targets[at].bytes, bytes));
}

static void a_service_and_keys_make_a_job(void **state)
{
    GOOD(SPAN("service"), SPAN("SU1Z0isxPaozGVKXdv0eY"), SPAN("keys"), SPAN("article-17 home"));
    assert_int_equal(spec.targets_count, 2);
    has_target(0, TARGET_KEY, "article-17");
    has_target(1, TARGET_KEY, "home");
    assert_int_equal(spec.service, 0);
    assert_false(spec.soft);
    assert_true(spec.not_before_ms == 0 && spec.expires_ms == 0 && spec.repeat_after_ms == 0);
    assert_true(spec.ref.n == 0 && spec.original.n == 0);
    (void)state;
}

static void the_order_of_the_fields_does_not_matter(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("soft"), SPAN("1"), SPAN("service"), SPAN("news"));
    assert_int_equal(spec.service, 0);
    assert_true(spec.soft);
    (void)state;
}

static void runs_of_spaces_around_keys_are_tolerated(void **state)
{
    GOOD(SPAN("keys"), SPAN("  a   b "));
    assert_int_equal(spec.targets_count, 2);
    has_target(1, TARGET_KEY, "b");
    (void)state;
}

static void keys_and_url_may_be_given_again_and_add_up(void **state)
{
    GOOD(SPAN("keys"), SPAN("a b"), SPAN("url"), SPAN("h/1"), SPAN("keys"), SPAN("c"), SPAN("url"),
         SPAN("https://h/2"));
    assert_int_equal(spec.targets_count, 5);
    has_target(2, TARGET_URL, "h/1");
    has_target(3, TARGET_KEY, "c");
    has_target(4, TARGET_URL, "https://h/2");
    (void)state;
}

static void equal_targets_of_one_job_count_once(void **state)
{
    GOOD(SPAN("keys"), SPAN("a b a h/1"), SPAN("keys"), SPAN("b"), SPAN("url"), SPAN("http://H/1"),
         SPAN("url"), SPAN("h/1"));
    assert_int_equal(spec.targets_count, 4);
    has_target(2, TARGET_KEY, "h/1");
    has_target(3, TARGET_URL, "http://H/1");
    (void)state;
}

static void the_targets_of_the_job_before_are_forgotten(void **state)
{
    GOOD(SPAN("keys"), SPAN("a b c"));
    GOOD(SPAN("keys"), SPAN("b a"));
    assert_int_equal(spec.targets_count, 2);
    has_target(0, TARGET_KEY, "b");
    (void)state;
}

static void targets_of_four_billion_jobs_ago_are_forgotten(void **state)
{
    job_decoder_deinit(&decoder);
    job_decoder_init(&decoder);
    GOOD(SPAN("keys"), SPAN("a b"));
    assert_int_equal(decoder.mark, 1);
    decoder.mark = UINT32_MAX;
    GOOD(SPAN("keys"), SPAN("c"));
    assert_int_equal(spec.targets_count, 1);
    GOOD(SPAN("keys"), SPAN("a b"));
    assert_int_equal(spec.targets_count, 2);
    decoder.mark = UINT32_MAX;
    GOOD(SPAN("keys"), SPAN("a b"));
    assert_int_equal(spec.targets_count, 2);
    (void)state;
}

static struct span keys_in_a_row(unsigned count)
{
    static char text[JOB_TARGETS_MAX * 8];
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "k%u ", i);
    return span_of(text, n);
}

static void a_job_of_10001_targets_is_refused(void **state)
{
    GOOD(SPAN("keys"), keys_in_a_row(9999));
    assert_int_equal(spec.targets_count, 9999);
    GOOD(SPAN("keys"), keys_in_a_row(9999), SPAN("url"), SPAN("h/"));
    assert_int_equal(spec.targets_count, 10000);
    has_target(9998, TARGET_KEY, "k9998");
    BAD("url: more than 10000 targets in one job", SPAN("keys"), keys_in_a_row(10000), SPAN("url"),
        SPAN("h/"));
    BAD("keys: more than 10000 targets in one job", SPAN("keys"), keys_in_a_row(10001));
    (void)state;
}

static void ten_thousand_equal_keys_are_one_target(void **state)
{
    static char text[20000];

    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "k ", 2);
    GOOD(SPAN("keys"), span_of(text, sizeof(text)));
    assert_int_equal(spec.targets_count, 1);
    (void)state;
}

static void a_bad_key_is_named_by_its_place(void **state)
{
    BAD("keys: a key may only have the bytes 0x21 to 0x7E (key 3)", SPAN("keys"), SPAN("a b \tc"));
    BAD("keys: a key may only have the bytes 0x21 to 0x7E (key 1)", SPAN("keys"), SPAN("a\0"));
    (void)state;
}

static void a_key_of_1025_bytes_sinks_the_job(void **state)
{
    static char text[1025];

    memset(text, 'k', sizeof(text));
    GOOD(SPAN("keys"), span_of(text, 1024));
    BAD("keys: the key is longer than 1024 bytes (key 1)", SPAN("keys"), span_of(text, 1025));
    (void)state;
}

static void a_bad_url_is_explained(void **state)
{
    BAD("url: the URL is empty", SPAN("url"), SPAN(""));
    BAD("url: user info (user@host) is not supported", SPAN("url"), SPAN("u@h/"));
    (void)state;
}

static void a_job_without_a_target_is_refused(void **state)
{
    BAD("no target: one of keys, url, all", SPAN("service"), SPAN("news"));
    BAD("no target: one of keys, url, all", SPAN("keys"), SPAN("   "));
    BAD("no target: one of keys, url, all", SPAN("all"), SPAN("0"));
    assert_int_equal(job_decode(&decoder, &account, NULL, 0, &spec, &err), -EINVAL);
    (void)state;
}

static void a_misspelt_field_must_not_purge_at_once(void **state)
{
    BAD("not_befor: unknown field; did you mean not_before?", SPAN("keys"), SPAN("a"),
        SPAN("not_befor"), SPAN("1"));
    BAD("Keys: unknown field; did you mean keys?", SPAN("Keys"), SPAN("a"));
    BAD("dead_: unknown field", SPAN("keys"), SPAN("a"), SPAN("dead_"), SPAN("1"));
    BAD("\\x00\\xff: unknown field", SPAN("\0\xff"), SPAN("1"));
    BAD(": unknown field", SPAN(""), SPAN(""));
    (void)state;
}

static void a_field_name_without_end_is_cut_in_the_sentence(void **state)
{
    static char name[5000];

    memset(name, 'n', sizeof(name));
    assert_int_equal(DECODE(span_of(name, sizeof(name)), SPAN("1")), -EINVAL);
    assert_true(strlen(err.text) < 100);
    assert_non_null(strstr(err.text, ": unknown field"));
    (void)state;
}

static void a_dead_letter_pushed_back_is_a_job_again(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("dead_reason"), SPAN("400: no"), SPAN("dead_at"), SPAN("x"),
         SPAN("dead_at"), SPAN("y"), SPAN("job"), SPAN("normal-1700000000000-0"));
    assert_true(span_is(spec.original, "normal-1700000000000-0"));
    (void)state;
}

static void a_single_field_given_twice_is_refused(void **state)
{
    BAD("soft: given twice", SPAN("soft"), SPAN("0"), SPAN("soft"), SPAN("0"));
    BAD("all: given twice", SPAN("all"), SPAN("0"), SPAN("all"), SPAN("1"));
    BAD("ref: given twice", SPAN("ref"), SPAN(""), SPAN("ref"), SPAN(""));
    BAD("expires: given twice", SPAN("expires"), SPAN("0"), SPAN("expires"), SPAN("0"));
    (void)state;
}

static void soft_and_all_are_0_or_1(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("soft"), SPAN("0"));
    assert_false(spec.soft);
    BAD("soft: neither 0 nor 1", SPAN("keys"), SPAN("a"), SPAN("soft"), SPAN("true"));
    BAD("soft: neither 0 nor 1", SPAN("keys"), SPAN("a"), SPAN("soft"), SPAN(""));
    BAD("soft: neither 0 nor 1", SPAN("keys"), SPAN("a"), SPAN("soft"), SPAN("10"));
    BAD("all: neither 0 nor 1", SPAN("all"), SPAN("2"));
    (void)state;
}

/* Purging everything must never happen by accident:
 * https://github.com/lineofflight/frankfurter/issues/568 */
static void purge_all_needs_the_permission_of_the_configuration(void **state)
{
    BAD("all: purge-all is not allowed for account main (allow_purge_all)", SPAN("all"), SPAN("1"));
    account.allow_purge_all = true;
    GOOD(SPAN("all"), SPAN("1"));
    assert_int_equal(spec.targets_count, 1);
    has_target(0, TARGET_ALL, "");
    assert_int_equal(spec.service, 0);
    (void)state;
}

static void verify_is_for_urls(void **state)
{
    (void)state;
    GOOD(SPAN("url"), SPAN("https://a.example/"), SPAN("verify"), SPAN("1"));
    assert_true(spec.verify);
    GOOD(SPAN("verify"), SPAN("0"), SPAN("keys"), SPAN("a"));
    assert_false(spec.verify);
    BAD("verify: neither 0 nor 1", SPAN("verify"), SPAN("2"), SPAN("url"), SPAN("a.example/"));
    BAD("verify: keys and all do not say which page to look at: name one, like {\"url\": "
        "\"https://www.example.com/\"}",
        SPAN("url"), SPAN("a.example/"), SPAN("keys"), SPAN("a"), SPAN("verify"), SPAN("1"));
    BAD("verify: given twice", SPAN("verify"), SPAN("0"), SPAN("verify"), SPAN("0"));
}

static void verify_may_name_a_page(void **state)
{
    (void)state;
    GOOD(SPAN("keys"), SPAN("a"), SPAN("verify"), SPAN("{\"url\":\"https://a.example/1\"}"));
    assert_true(spec.verify);
    assert_string_equal(spec.page->url, "https://a.example/1");
    GOOD(SPAN("url"), SPAN("https://a.example/"), SPAN("verify"), SPAN("1"));
    assert_null(spec.page);
    BAD("verify: url: missing", SPAN("keys"), SPAN("a"), SPAN("verify"), SPAN("{}"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("verify"),
         SPAN("{\"url\":\"https://a.example/1\",\"at_least\":{\"header\":\"X-V\",\"number\":0}}"));
    assert_string_equal(spec.page->header, "X-V");
    assert_int_equal(spec.page->at_least, 0);
    GOOD(SPAN("url"), SPAN("a.example/2"), SPAN("verify"),
         SPAN("{\"at_least\":{\"header\":\"X-V\",\"number\":17}}"));
    assert_string_equal(spec.page->url, "a.example/2");
    assert_int_equal(spec.page->at_least, 17);
    BAD("verify: url: missing, and the job is not for one URL", SPAN("keys"), SPAN("a"),
        SPAN("verify"), SPAN("{\"at_least\":{\"header\":\"X-V\",\"number\":17}}"));
    BAD("verify: url: missing, and the job is not for one URL", SPAN("url"), SPAN("a.example/2"),
        SPAN("url"), SPAN("a.example/3"), SPAN("verify"),
        SPAN("{\"at_least\":{\"header\":\"X-V\",\"number\":17}}"));
    BAD("verify: at_least: header: missing", SPAN("url"), SPAN("a.example/"), SPAN("verify"),
        SPAN("{\"at_least\":{\"number\":17}}"));
    BAD("verify: at_least: header: not the name of a header", SPAN("url"), SPAN("a.example/"),
        SPAN("verify"), SPAN("{\"at_least\":{\"header\":\"x v\",\"number\":17}}"));
    BAD("verify: at_least: number: missing", SPAN("url"), SPAN("a.example/"), SPAN("verify"),
        SPAN("{\"at_least\":{\"header\":\"x\"}}"));
    BAD("verify: at_least: number: expected a whole number", SPAN("url"), SPAN("a.example/"),
        SPAN("verify"), SPAN("{\"at_least\":{\"header\":\"x\",\"number\":-1}}"));
    BAD("verify: at_least: value: unknown field", SPAN("url"), SPAN("a.example/"), SPAN("verify"),
        SPAN("{\"at_least\":{\"header\":\"x\",\"value\":1}}"));
    BAD("verify: at_least: expected an object like {\"header\": \"x-version\", \"number\": 17}",
        SPAN("url"), SPAN("a.example/"), SPAN("verify"), SPAN("{\"at_least\":17}"));
    BAD("verify: url: expected a text", SPAN("keys"), SPAN("a"), SPAN("verify"),
        SPAN("{\"url\":1}"));
    BAD("verify: url: not 1 to 2048 bytes", SPAN("keys"), SPAN("a"), SPAN("verify"),
        SPAN("{\"url\":\"\"}"));
    BAD("verify: url: expected https:// or http://", SPAN("keys"), SPAN("a"), SPAN("verify"),
        SPAN("{\"url\":\"a.example/\"}"));
    BAD("verify: uri: unknown field", SPAN("keys"), SPAN("a"), SPAN("verify"),
        SPAN("{\"uri\":\"https://a.example/\"}"));
    BAD("verify: expected 0, 1 or a JSON object like {\"url\": \"https://www.example.com/\"}",
        SPAN("keys"), SPAN("a"), SPAN("verify"), SPAN("yes"));
}

static void purge_all_cannot_be_soft(void **state)
{
    account.allow_purge_all = true;
    BAD("soft: not possible with all", SPAN("soft"), SPAN("1"), SPAN("all"), SPAN("1"));
    GOOD(SPAN("soft"), SPAN("0"), SPAN("all"), SPAN("1"));
    (void)state;
}

static void a_service_is_found_by_id_or_by_name(void **state)
{
    account.services_count = 3;
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("SU3Z0isxPaozGVKXdv0eY"));
    assert_int_equal(spec.service, 2);
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("shop"));
    assert_int_equal(spec.service, 1);
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("shop"));
    assert_int_equal(spec.service, 1);
    BAD("service: \"sho\" is not a service of account main", SPAN("keys"), SPAN("a"),
        SPAN("service"), SPAN("sho"));
    BAD("service: \"shops\" is not a service of account main", SPAN("keys"), SPAN("a"),
        SPAN("service"), SPAN("shops"));
    BAD("service: empty", SPAN("keys"), SPAN("a"), SPAN("service"), SPAN(""));
    (void)state;
}

static void a_service_that_moved_in_a_reload_is_found_where_it_is(void **state)
{
    struct config_service turned[] = {services[1], services[0]};

    account.services_count = 2;
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("shop"));
    assert_int_equal(spec.service, 1);
    account.services_count = 1;
    BAD("service: \"shop\" is not a service of account main", SPAN("keys"), SPAN("a"),
        SPAN("service"), SPAN("shop"));
    account.services_count = 2;
    account.services = turned;
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("shop"));
    assert_int_equal(spec.service, 0);
    account.services_count = 0;
    BAD("service: account main has none configured", SPAN("keys"), SPAN("a"), SPAN("service"),
        SPAN("shop"));
    (void)state;
}

static void the_default_service_and_the_only_service_need_no_name(void **state)
{
    account.services_count = 2;
    BAD("service: missing, and account main has no default_service", SPAN("keys"), SPAN("a"));
    account.default_service = STRING("shop");
    GOOD(SPAN("keys"), SPAN("a"));
    assert_int_equal(spec.service, 1);
    GOOD(SPAN("keys"), SPAN("a"), SPAN("service"), SPAN("news"));
    assert_int_equal(spec.service, 0);
    account.default_service = NULL;
    account.services_count = 1;
    GOOD(SPAN("keys"), SPAN("a"));
    assert_int_equal(spec.service, 0);
    (void)state;
}

static void urls_need_no_service(void **state)
{
    account.services_count = 2;
    GOOD(SPAN("url"), SPAN("h/"));
    assert_int_equal(spec.service, SERVICE_NONE);
    GOOD(SPAN("url"), SPAN("h/"), SPAN("service"), SPAN("shop"));
    assert_int_equal(spec.service, 1);
    account.services_count = 0;
    GOOD(SPAN("url"), SPAN("h/"));
    assert_int_equal(spec.service, SERVICE_NONE);
    BAD("service: account main has none configured", SPAN("keys"), SPAN("a"));
    (void)state;
}

static void times_are_whole_milliseconds_up_to_the_year_9999(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("not_before"), SPAN("1700000000000"), SPAN("expires"),
         SPAN("253402300799999"), SPAN("repeat_after"), SPAN("2000"));
    assert_true(spec.not_before_ms == UINT64_C(1700000000000));
    assert_true(spec.expires_ms == JOB_TIME_MAX_MS);
    assert_true(spec.repeat_after_ms == 2000);
    BAD("expires: above 253402300799999 ms", SPAN("expires"), SPAN("253402300800000"));
    BAD("not_before: above 253402300799999 ms", SPAN("not_before"), SPAN("18446744073709551616"));
    BAD("not_before: not a whole number of milliseconds", SPAN("not_before"), SPAN("1e3"));
    BAD("expires: not a whole number of milliseconds", SPAN("expires"), SPAN(""));
    BAD("repeat_after: not a whole number of milliseconds", SPAN("repeat_after"), SPAN("-1"));
    (void)state;
}

static void a_repeat_comes_within_a_day(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("repeat_after"), SPAN("86399999"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("repeat_after"), SPAN("86400000"));
    BAD("repeat_after: above 86400000 ms", SPAN("repeat_after"), SPAN("86400001"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("repeat_after"), SPAN("auto"));
    assert_true(spec.repeat_auto && spec.repeat_after_ms == 0);
    assert_false(job_is_plain(&spec));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("repeat_after"), SPAN("0"));
    assert_false(spec.repeat_auto);
    BAD("repeat_after: not a whole number of milliseconds", SPAN("repeat_after"), SPAN("Auto"));
    (void)state;
}

static void a_job_expires_after_it_may_start(void **state)
{
    GOOD(SPAN("keys"), SPAN("a"), SPAN("not_before"), SPAN("1000"), SPAN("expires"), SPAN("1001"));
    BAD("expires: not after not_before", SPAN("keys"), SPAN("a"), SPAN("not_before"), SPAN("1000"),
        SPAN("expires"), SPAN("1000"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("not_before"), SPAN("1000"), SPAN("expires"), SPAN("0"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("expires"), SPAN("1"));
    (void)state;
}

static void a_ref_of_257_bytes_is_refused(void **state)
{
    static char ref[257];

    memset(ref, 'r', sizeof(ref));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("ref"), span_of(ref, 255));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("ref"), span_of(ref, 256));
    assert_int_equal(spec.ref.n, 256);
    BAD("ref: longer than 256 bytes", SPAN("keys"), SPAN("a"), SPAN("ref"), span_of(ref, 257));
    (void)state;
}

static void a_job_says_who_pushed_it(void **state)
{
    static char by[257];

    memset(by, 'b', sizeof(by));
    GOOD(SPAN("keys"), SPAN("a"));
    assert_int_equal(spec.by.n, 0);
    GOOD(SPAN("keys"), SPAN("a"), SPAN("by"), SPAN("cms"));
    assert_true(span_is(spec.by, "cms"));
    assert_true(job_is_plain(&spec));
    GOOD(SPAN("by"), span_of(by, 256), SPAN("keys"), SPAN("a"));
    assert_int_equal(spec.by.n, 256);
    BAD("by: not 1 to 256 bytes", SPAN("keys"), SPAN("a"), SPAN("by"), span_of(by, 257));
    BAD("by: not 1 to 256 bytes", SPAN("keys"), SPAN("a"), SPAN("by"), SPAN(""));
    BAD("by: given twice", SPAN("by"), SPAN("a"), SPAN("by"), SPAN("b"), SPAN("keys"), SPAN("a"));
    (void)state;
}

static void who_pushed_may_stand_where_version_0_1_0_ignores_it(void **state)
{
    static char by[257];

    memset(by, 'b', sizeof(by));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("dead_by"), SPAN("cms"), SPAN("dead_by"), SPAN("x"));
    assert_true(span_is(spec.by, "cms"));
    GOOD(SPAN("dead_by"), SPAN("cms"), SPAN("keys"), SPAN("a"), SPAN("by"), SPAN("shop"));
    assert_true(span_is(spec.by, "shop"));
    GOOD(SPAN("by"), SPAN("shop"), SPAN("keys"), SPAN("a"), SPAN("dead_by"), SPAN("cms"));
    assert_true(span_is(spec.by, "shop"));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("dead_by"), span_of(by, 257), SPAN("dead_by"), SPAN(""));
    assert_int_equal(spec.by.n, 0);
    GOOD(SPAN("keys"), SPAN("a"), SPAN("dead_byx"), SPAN("cms"));
    assert_int_equal(spec.by.n, 0);
    (void)state;
}

static void the_id_of_the_original_job_is_plain_and_short(void **state)
{
    static char id[65];

    memset(id, '7', sizeof(id));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("job"), span_of(id, 63));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("job"), span_of(id, 64));
    BAD("job: not 1 to 64 bytes", SPAN("keys"), SPAN("a"), SPAN("job"), span_of(id, 65));
    BAD("job: not 1 to 64 bytes", SPAN("keys"), SPAN("a"), SPAN("job"), SPAN(""));
    GOOD(SPAN("keys"), SPAN("a"), SPAN("job"), SPAN("bulk-17-3+repeat"));
    BAD("job: a byte other than a-z 0-9 + -", SPAN("keys"), SPAN("a"), SPAN("job"), SPAN("A:1"));
    (void)state;
}

static void only_what_we_call_a_job_is_the_id_of_one(void **state)
{
    static const char *const good[] = {"normal-1700000000000-0", "urgent-1-2+r", "normal-0-1",
                                       "bulk-1-2+r+r+r"};
    static const char *const bad[] = {"",
                                      "normal",
                                      "normal-",
                                      "normal-1",
                                      "normal-1-",
                                      "normal-1-x",
                                      "normal-1-2-3",
                                      "normal--1-2",
                                      "idle-1-2",
                                      "normal-1-2+",
                                      "normal-1-2+s",
                                      " normal-1-2",
                                      "normal-1-2 ",
                                      "normal-1-2\n",
                                      "normal-+1-2",
                                      "-1-2",
                                      "normal-01-2",
                                      "normal-1-02",
                                      "bulk-1700000000000-00",
                                      "normal-99999999999999999999-0"};
    char longest[JOB_ID_ROOM + 8] = "normal-1-2";
    enum lane lane;

    for (size_t i = 0; i < array_len(good); i++)
        assert_true(job_id_ok(span_str(good[i]), &lane));
    assert_int_equal(lane, LANE_BULK);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(job_id_ok(span_str(bad[i]), &lane));
    assert_int_equal(job_id_form(SPAN("normal-01-2+r"), &lane), JOB_ID_PADDED);
    assert_int_equal(job_id_form(SPAN("normal-01-2+s"), &lane), JOB_ID_NONE);
    while (strlen(longest) < JOB_ID_ROOM - 2)
        strcat(longest, "+r");
    assert_int_equal(strlen(longest), JOB_ID_ROOM - 2);
    assert_true(job_id_ok(span_str(longest), &lane));
    strcat(longest, "+r");
    assert_false(job_id_ok(span_str(longest), &lane));
    (void)state;
}

/* Such an entry can only come from a server that is not a real Redis. */
static void a_name_without_a_value_is_refused(void **state)
{
    (void)state;
    BAD("a field has no value", SPAN("keys"), SPAN("a"), SPAN("service"));
    BAD("a field has no value", SPAN("keys"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_service_and_keys_make_a_job, before),
        cmocka_unit_test_setup(the_order_of_the_fields_does_not_matter, before),
        cmocka_unit_test_setup(runs_of_spaces_around_keys_are_tolerated, before),
        cmocka_unit_test_setup(keys_and_url_may_be_given_again_and_add_up, before),
        cmocka_unit_test_setup(equal_targets_of_one_job_count_once, before),
        cmocka_unit_test_setup(the_targets_of_the_job_before_are_forgotten, before),
        cmocka_unit_test_setup(targets_of_four_billion_jobs_ago_are_forgotten, before),
        cmocka_unit_test_setup(a_job_of_10001_targets_is_refused, before),
        cmocka_unit_test_setup(ten_thousand_equal_keys_are_one_target, before),
        cmocka_unit_test_setup(a_bad_key_is_named_by_its_place, before),
        cmocka_unit_test_setup(a_key_of_1025_bytes_sinks_the_job, before),
        cmocka_unit_test_setup(a_bad_url_is_explained, before),
        cmocka_unit_test_setup(a_job_without_a_target_is_refused, before),
        cmocka_unit_test_setup(a_misspelt_field_must_not_purge_at_once, before),
        cmocka_unit_test_setup(a_field_name_without_end_is_cut_in_the_sentence, before),
        cmocka_unit_test_setup(a_dead_letter_pushed_back_is_a_job_again, before),
        cmocka_unit_test_setup(a_single_field_given_twice_is_refused, before),
        cmocka_unit_test_setup(soft_and_all_are_0_or_1, before),
        cmocka_unit_test_setup(purge_all_needs_the_permission_of_the_configuration, before),
        cmocka_unit_test_setup(verify_is_for_urls, before),
        cmocka_unit_test_setup(verify_may_name_a_page, before),
        cmocka_unit_test_setup(purge_all_cannot_be_soft, before),
        cmocka_unit_test_setup(a_service_is_found_by_id_or_by_name, before),
        cmocka_unit_test_setup(a_service_that_moved_in_a_reload_is_found_where_it_is, before),
        cmocka_unit_test_setup(the_default_service_and_the_only_service_need_no_name, before),
        cmocka_unit_test_setup(urls_need_no_service, before),
        cmocka_unit_test_setup(times_are_whole_milliseconds_up_to_the_year_9999, before),
        cmocka_unit_test_setup(a_repeat_comes_within_a_day, before),
        cmocka_unit_test_setup(a_job_expires_after_it_may_start, before),
        cmocka_unit_test_setup(a_ref_of_257_bytes_is_refused, before),
        cmocka_unit_test_setup(a_job_says_who_pushed_it, before),
        cmocka_unit_test_setup(who_pushed_may_stand_where_version_0_1_0_ignores_it, before),
        cmocka_unit_test_setup(the_id_of_the_original_job_is_plain_and_short, before),
        cmocka_unit_test(only_what_we_call_a_job_is_the_id_of_one),
        cmocka_unit_test_setup(a_name_without_a_value_is_refused, before),
    };

    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
