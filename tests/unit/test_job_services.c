/* SPDX-License-Identifier: MIT
 * Jobs that name several services. */
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

static struct config_account account;
static struct job_decoder decoder;
static struct job_spec spec;
static struct error err;

/* The account "main" with the services S0, named "name-0", S1 ... */
static int before(void **state)
{
    (void)state;
    account = (struct config_account){.name = (char *)"main", .allow_purge_all = true};
    for (int i = 0; i < 100; i++) {
        char id[16], name[16];
        int n = snprintf(id, sizeof(id), "S%d", i), m = snprintf(name, sizeof(name), "name-%d", i);

        if (config_services_add(&account, span_of(id, (size_t)n), span_of(name, (size_t)m)) < 0)
            return -1;
    }
    job_decoder_init(&decoder);
    return 0;
}

static int after(void **state)
{
    (void)state;
    job_decoder_deinit(&decoder);
    config_services_free(&account);
    return 0;
}

/* Decodes "name=value name=value ...", in which '+' stands for a space. */
static int decode(const char *text)
{
    static char copy[8192];
    static struct span fields[1024];
    size_t n = 0;
    char *at = copy, *word, *value;

    snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&at, " "))) {
        value = strchr(word, '=');
        *value++ = '\0';
        for (char *p = value; *p; p++)
            *p = *p == '+' ? ' ' : *p;
        fields[n++] = span_str(word);
        fields[n++] = span_str(value);
    }
    return job_decode(&decoder, &account, fields, n, &spec, &err);
}

static void good(const char *text)
{
    if (decode(text) < 0)
        fail_msg("%s: %s", text, err.text);
}

static void bad(const char *text, const char *why)
{
    assert_int_equal(decode(text), -EINVAL);
    assert_string_equal(err.text, why);
}

/* The targets, like "a@0 https://h/@0 !@1". */
static void has(const char *wanted)
{
    char found[1024] = "";
    size_t n = 0;

    for (uint32_t i = 0; i < spec.targets_count; i++) {
        const struct job_target *t = &spec.targets[i];
        struct span text = t->kind == TARGET_ALL ? SPAN("!") : t->bytes;

        n += (size_t)snprintf(found + n, sizeof(found) - n, "%s%.*s@%u", i ? " " : "", (int)text.n,
                              text.p, t->service);
    }
    assert_string_equal(found, wanted);
}

static void each_key_is_a_target_of_each_service(void **state)
{
    (void)state;
    good("service=S3 keys=a+b service=name-1");
    has("a@3 b@3 a@1 b@1");
    assert_int_equal(spec.services_count, 2);
    assert_int_equal(spec.services[1], 1);
    assert_int_equal(spec.service, 3);
    assert_true(span_is(spec.service_names[1], "name-1"));
}

static void the_order_of_the_fields_does_not_matter(void **state)
{
    (void)state;
    good("keys=a service=S0 soft=1 service=S1");
    has("a@0 a@1");
    assert_true(spec.soft);
}

static void a_url_is_one_target_for_all_services(void **state)
{
    (void)state;
    good("url=h/1 keys=a url=h/2 service=S2 service=S4");
    has("h/1@2 a@2 h/2@2 a@4");
    good("url=h/1 url=h/2 service=S2 service=S4");
    has("h/1@2 h/2@2");
    assert_int_equal(spec.services_count, 2);
}

static void all_content_of_each_service_is_purged(void **state)
{
    (void)state;
    good("service=S0 all=1 service=S1 service=S2");
    has("!@0 !@1 !@2");
}

static void the_same_service_twice_is_one(void **state)
{
    (void)state;
    good("service=S1 service=S1 keys=a");
    has("a@1");
    assert_int_equal(spec.services_count, 1);
    good("service=S1 service=name-1 service=S2 service=name-2 keys=a");
    has("a@1 a@2");
}

static void equal_keys_count_once_for_each_service(void **state)
{
    (void)state;
    good("keys=a+a keys=a service=S1 service=S2");
    has("a@1 a@2");
}

static void one_unknown_service_sinks_the_job_and_is_named(void **state)
{
    (void)state;
    bad("service=S1 service=nosuch keys=a", "service: \"nosuch\" is not a service of account main");
    bad("service=S1 service= keys=a", "service: empty");
    account.services_count = 0;
    bad("service=S1 service=S2 keys=a", "service: account main has none configured");
    account.services_count = 100;
}

static void a_job_may_name_64_services(void **state)
{
    char text[2048];
    size_t n = (size_t)snprintf(text, sizeof(text), "keys=a");

    (void)state;
    for (int i = 0; i < JOB_SERVICES_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " service=S%d", i);
    good(text);
    assert_int_equal(spec.targets_count, 64);
    assert_int_equal(spec.targets[63].service, 63);
    snprintf(text + n, sizeof(text) - n, " service=S17");
    good(text); /* one of them once more */
    assert_int_equal(spec.targets_count, 64);
    snprintf(text + n, sizeof(text) - n, " service=S64");
    bad(text, "service: more than 64 services in one job");
}

static void all_targets_together_are_at_most_10000(void **state)
{
    static char keys[8 * 5000];
    struct span fields[] = {SPAN("keys"), SPAN(""), SPAN("service"), SPAN("S1"),
                            SPAN("url"),  SPAN(""), SPAN("service"), SPAN("S2")};
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(keys + n, sizeof(keys) - n, "k%d ", i);
    fields[1] = span_of(keys, n);
    fields[5] = SPAN("h/");
    assert_int_equal(job_decode(&decoder, &account, fields, 8, &spec, &err), -EINVAL);
    assert_string_equal(err.text,
                        "service: more than 10000 targets in one job: its 5000 keys count "
                        "once for each of 2 services");
    fields[4] = SPAN("ref");
    assert_int_equal(job_decode(&decoder, &account, fields, 8, &spec, &err), 0);
    assert_int_equal(spec.targets_count, 10000);
    assert_int_equal(spec.targets[9999].service, 2);
    assert_true(span_is(spec.targets[9999].bytes, "k4999"));
    good("keys=a"
         " service=S7"); /* nothing of the large job is left */
    has("a@7");
}

/* A job of URLs needs no more memory because it names services. */
static void many_urls_for_many_services_need_no_more_room(void **state)
{
    char text[8192];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%surl=h/%d", i ? " " : "", i);
    for (int i = 0; i < JOB_SERVICES_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " service=S%d", i);
    good(text);
    assert_int_equal(spec.targets_count, 200);
    assert_true(decoder.room <= 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_is_a_target_of_each_service),
        cmocka_unit_test(the_order_of_the_fields_does_not_matter),
        cmocka_unit_test(a_url_is_one_target_for_all_services),
        cmocka_unit_test(all_content_of_each_service_is_purged),
        cmocka_unit_test(the_same_service_twice_is_one),
        cmocka_unit_test(equal_keys_count_once_for_each_service),
        cmocka_unit_test(one_unknown_service_sinks_the_job_and_is_named),
        cmocka_unit_test(a_job_may_name_64_services),
        cmocka_unit_test(many_urls_for_many_services_need_no_more_room),
        cmocka_unit_test(all_targets_together_are_at_most_10000),
    };
    return cmocka_run_group_tests(tests, before, after);
}
