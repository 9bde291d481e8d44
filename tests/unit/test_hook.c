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
#include <jansson.h>

#include "hook.h"
#include "job.h"
#include "template.h"

static struct config_hook config;
static struct hook_job job;
static struct error err;

/* Splits the words at ';', in place. */
static struct config_words words(char *text)
{
    static char *at[8][16];
    static unsigned used;
    struct config_words w = {at[used++ % 8], 0};

    for (char *word = strtok(text, ";"); word; word = strtok(NULL, ";"))
        w.at[w.count++] = word;
    return w;
}

static int set_up(void **state)
{
    static char name[] = "cms";

    config = (struct config_hook){
        .name = name, .max_targets = 100, .signature = {.scheme = HOOK_UNSIGNED}};
    hook_job_init(&job);
    (void)state;
    return 0;
}

static int tear_down(void **state)
{
    hook_job_deinit(&job);
    (void)state;
    return 0;
}

static bool find_header(void *context, const char *name, struct span *value)
{
    *value = SPAN("Entry.publish");
    (void)context;
    return strcmp(name, "x-topic") == 0;
}

static int apply(const char *json)
{
    struct hook_request request = {.header = find_header};
    char *text = strdup(json);
    struct hook *h = hook_new(&config, &err);
    json_t *document;
    int e;

    if (!h)
        fail_msg("%s", err.text);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    document = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(document);
    err.text[0] = '\0';
    e = hook_apply(h, document, &request, &job, &err);
    json_decref(document);
    hook_free(h);
    free(text);
    return e;
}

static char service_id[] = "SU1Z0isxPaozGVKXdv0eY", service_name[] = "news",
            account_name[] = "main";
static struct config_service service = {service_id, service_name};
static struct config_account account = {
    .name = account_name, .services = &service, .services_count = 1};

/* The fields as "name=value", one per line. */
static const char *fields(void)
{
    static char text[8192];

    text[0] = '\0';
    for (size_t i = 0; i < job.fields_count; i += 2) {
        size_t n = strlen(text);

        snprintf(text + n, sizeof(text) - n, "%s%.*s=%.*s", n ? "\n" : "", (int)job.fields[i].n,
                 job.fields[i].p, (int)job.fields[i + 1].n, job.fields[i + 1].p);
    }
    return text;
}

static void gives(const char *json, const char *wanted)
{
    int e = apply(json);

    struct job_decoder decoder;
    struct job_spec spec;

    if (e < 0)
        fail_msg("%s: %s", json, err.text);
    assert_string_equal(fields(), wanted);
    job_decoder_init(&decoder);
    assert_int_equal(job_decode(&decoder, &account, job.fields, job.fields_count, &spec, &err), 0);
    assert_int_equal(spec.targets_count, job.keys + job.urls);
    job_decoder_deinit(&decoder);
}

static void fails(const char *json, int wanted, const char *about)
{
    int e = apply(json);

    if (e != wanted || !strstr(err.text, about))
        fail_msg("%s: %d, not %d; \"%s\" says nothing of \"%s\"", json, e, wanted, err.text, about);
}

static void keys_and_urls_become_fields_of_a_job(void **state)
{
    char keys[] = "article-{id};tag-{tags[]}", urls[] = "https://www.example.com/{slug};h/{id}",
         services[] = "news";

    config.keys = words(keys);
    config.urls = words(urls);
    config.services = words(services);
    config.soft = true;
    config.repeat_after_ms = 2500;
    gives("{'id': 7, 'slug': 'a', 'tags': ['x', 'y']}",
          "keys=article-7 tag-x tag-y\nurl=https://www.example.com/a\nurl=h/7\nservice=news\n"
          "soft=1\nrepeat_after=2500");
    assert_int_equal(job.keys, 3);
    assert_int_equal(job.urls, 2);
    assert_int_equal(job.missing, 0);
    config.repeat_after_ms = CONFIG_REPEAT_AUTO;
    gives("{'id': 7, 'slug': 'a', 'tags': []}",
          "keys=article-7\nurl=https://www.example.com/a\nurl=h/7\nservice=news\n"
          "soft=1\nrepeat_after=auto");
    (void)state;
}

static void the_job_is_for_each_of_the_services(void **state)
{
    char keys[] = "{id}", urls[] = "h/{id}", services[] = "news;shop;SU3", many[64 * 5 + 1] = "";

    config.keys = words(keys);
    config.urls = words(urls);
    config.services = words(services);
    config.repeat_after_ms = 1;
    assert_int_equal(apply("{'id': 7}"), 0);
    assert_string_equal(fields(),
                        "keys=7\nurl=h/7\nservice=news\nservice=shop\nservice=SU3\nrepeat_after=1");
    for (int i = 0; i < 64; i++)
        snprintf(many + 5 * i, 6, "s-%02d;", i);
    config.services.at = (char *[64]){NULL};
    config.services.count = 0;
    for (char *word = strtok(many, ";"); word; word = strtok(NULL, ";"))
        config.services.at[config.services.count++] = word;
    assert_int_equal(config.services.count, 64);
    config.urls.count = 0;
    config.repeat_after_ms = 0;
    assert_int_equal(apply("{'id': 7}"), 0);
    assert_int_equal(job.fields_count, 2 * 65);
    assert_true(span_is(job.fields[2 * 64 + 1], "s-63"));
    (void)state;
}

static void only_keys_or_only_urls_will_do(void **state)
{
    char keys[] = "{id}", urls[] = "h/{id}";

    config.keys = words(keys);
    gives("{'id': 7}", "keys=7");
    config.keys = (struct config_words){0};
    config.urls = words(urls);
    gives("{'id': 7}", "url=h/7");
    (void)state;
}

static void equal_targets_count_once(void **state)
{
    char keys[] = "{a[]};{b}", urls[] = "http://H/{b};https://h/{b};h/x";

    config.keys = words(keys);
    config.urls = words(urls);
    config.max_targets = 4;
    gives("{'a': ['x', 'y', 'x', 'x'], 'b': 'x'}", "keys=x y\nurl=http://H/x");
    gives("{'a': ['x', 'y', 'z'], 'b': 'x'}", "keys=x y z\nurl=http://H/x");
    (void)state;
}

static void one_target_too_many_is_refused(void **state)
{
    char keys[] = "{a[]}", urls[] = "h/{b}";

    config.keys = words(keys);
    config.urls = words(urls);
    config.max_targets = 3;
    gives("{'a': ['1', '2', '3']}", "keys=1 2 3");
    fails("{'a': ['1', '2', '3', '4']}", -E2BIG, "max_targets: the request names more than 3");
    fails("{'a': ['1', '2', '3'], 'b': 1}", -E2BIG, "max_targets");
    gives("{'a': ['1', '2', '1', '2'], 'b': 1}", "keys=1 2\nurl=h/1");
    (void)state;
}

static void a_thousand_targets_are_found_equal_or_not(void **state)
{
    json_t *document = json_object(), *list = json_array();
    char keys[] = "k{l[]}", *text;

    for (int i = 0; i < 2000; i++)
        json_array_append_new(list, json_integer(i % 1000));
    json_object_set_new(document, "l", list);
    text = json_dumps(document, 0);
    config.keys = words(keys);
    config.max_targets = 1000;
    assert_int_equal(apply(text), 0);
    assert_int_equal(job.keys, 1000);
    config.max_targets = 999;
    assert_int_equal(apply(text), -E2BIG);
    free(text);
    json_decref(document);
    (void)state;
}

static void all_targets_together_have_a_ceiling(void **state)
{
    json_t *document = json_object(), *list = json_array();
    static char long_text[8001];
    char urls[] = "h/{t}{l[]}", *text;

    memset(long_text, 'x', 8000);
    for (int i = 0; i < 600; i++)
        json_array_append_new(list, json_integer(i));
    json_object_set_new(document, "l", list);
    json_object_set_new(document, "t", json_string(long_text));
    text = json_dumps(document, 0);
    config.urls = words(urls);
    config.max_targets = 10000;
    assert_int_equal(apply(text), -E2BIG);
    free(text);
    json_decref(document);
    (void)state;
}

static void all_templates_together_look_at_so_many_elements(void **state)
{
    json_t *document = json_object(), *list = json_array();
    char keys[] = "{l[].a};{l[].b};{l[].c}", *text;

    for (int i = 0; i < TEMPLATE_VISITS_MAX / 3 + 1; i++)
        json_array_append_new(list, json_object());
    json_object_set_new(document, "l", list);
    text = json_dumps(document, 0);
    config.keys = words(keys);
    fails(text, -E2BIG, "keys[2] {l[].c}: its lists have too many elements");
    json_array_remove(list, 0);
    free(text);
    text = json_dumps(document, 0);
    assert_int_equal(apply(text), -ENOENT);
    free(text);
    json_decref(document);
    (void)state;
}

static void what_is_no_key_or_url_is_refused_and_the_template_named(void **state)
{
    char keys[] = "a-{id};{title}", urls[] = "{link}";

    config.keys = words(keys);
    fails("{'id': 1, 'title': 'Two Words'}", -EINVAL,
          "keys[1] {title}: a key may only have the bytes 0x21 to 0x7E: Two Words");
    fails("{'id': 1, 'title': 'caf\\u00e9'}", -EINVAL, "keys[1] {title}");
    config.keys = (struct config_words){0};
    config.urls = words(urls);
    fails("{'link': '/no/host'}", -EINVAL, "urls[0] {link}: the URL starts with a slash");
    fails("{'link': 'https://h/a b'}", -EINVAL, "urls[0] {link}");
    (void)state;
}

static void a_key_of_1025_bytes_is_refused(void **state)
{
    char keys[] = "{k}", json[1100];

    config.keys = words(keys);
    snprintf(json, sizeof(json), "{'k': '%01024d'}", 0);
    assert_int_equal(apply(json), 0);
    snprintf(json, sizeof(json), "{'k': '%01025d'}", 0);
    fails(json, -EINVAL, "longer than 1024 bytes");
    (void)state;
}

static void nothing_to_purge_is_no_job(void **state)
{
    char keys[] = "{id};{tags[]}";

    config.keys = words(keys);
    fails("{'tags': [null]}", -ENOENT, "no template found anything");
    assert_int_equal(job.missing, 2);
    fails("{'id': ''}", -ENOENT, "no template found anything");
    fails("[]", -ENOENT, "no template found anything");
    fails("'text'", -ENOENT, "no template found anything");
    assert_int_equal(job.fields_count, 0);
    gives("{'id': 1, 'tags': []}", "keys=1");
    (void)state;
}

static void with_condition(const char *text, const char *json, bool holds)
{
    char keys[] = "k", *copy = strdup(text);

    config.keys = words(keys);
    config.when = (struct config_words){&copy, 1};
    if (holds)
        gives(json, "keys=k");
    else
        fails(json, -ENOENT, "when[0]");
    free(copy);
}

static void a_condition_compares_what_a_path_leads_to(void **state)
{
    static const char json[] = "{'type': 'Entry', 'n': 3, 'yes': true, 'none': null, 'o': {},"
                               " 'l': [{'s': 'a'}, {'s': 'b'}], 'a=b': 'c', 'empty': ''}";

    with_condition("type=Entry", json, true);
    with_condition("type=entry", json, false);
    with_condition("type=Ent*", json, true);
    with_condition("type=Entry*", json, true);
    with_condition("type=Entryx*", json, false);
    with_condition("type=*", json, true);
    with_condition("type!=Asset", json, true);
    with_condition("type!=Ent*", json, false);
    with_condition("n=3", json, true);
    with_condition("yes=true", json, true);
    with_condition("empty=", json, true);
    with_condition("nowhere=", json, false);
    with_condition("nowhere!=x", json, true);
    with_condition("o=x", json, false);
    with_condition("\"a=b\"=c", json, true);
    with_condition("l[].s=b", json, true);
    with_condition("l[].s=c", json, false);
    with_condition("l[].s!=b", json, false);
    with_condition("l[].s!=c", json, true);
    (void)state;
}

static void a_bare_path_asks_whether_there_is_something(void **state)
{
    with_condition("a.b", "{'a': {'b': {}}}", true);
    with_condition("a.b", "{'a': {'b': null}}", false);
    with_condition("a.b", "{'a': {}}", false);
    with_condition("l[].s", "{'l': [{}, {'s': 1.5}]}", true);
    with_condition("l[].s", "{'l': []}", false);
    (void)state;
}

static void a_condition_may_be_about_a_header(void **state)
{
    with_condition("header:x-topic=Entry.publish", "{}", true);
    with_condition("header:x-topic=Entry.*", "{}", true);
    with_condition("header:x-topic=Asset.*", "{}", false);
    with_condition("header:x-topic!=Asset.*", "{}", true);
    with_condition("header:x-topic", "{}", true);
    with_condition("header:x-other", "{}", false);
    with_condition("header:x-other!=y", "{}", true);
    (void)state;
}

static void all_conditions_must_hold(void **state)
{
    char keys[] = "k", when[] = "a=1;b=2";

    config.keys = words(keys);
    config.when = words(when);
    gives("{'a': 1, 'b': 2}", "keys=k");
    fails("{'a': 1, 'b': 3}", -ENOENT, "when[1] b=2: not so");
    fails("{'a': 2, 'b': 2}", -ENOENT, "when[0] a=1: not so");
    (void)state;
}

static void refuses(const char *about)
{
    struct hook *h = hook_new(&config, &err);

    hook_free(h);
    if (h || strncmp(err.text, about, strlen(about)))
        fail_msg("\"%s\" does not start with \"%s\"", err.text, about);
}

static void a_hook_that_makes_no_sense_is_refused_when_it_is_compiled(void **state)
{
    char keys[] = "a;b-{", urls[] = "h/{x|y}", good[] = "k", when[] = "a=1;a..b=2",
         header[] = "header:=x";

    refuses("keys: neither keys nor urls");
    config.keys = words(keys);
    refuses("keys[1]: byte 3: ");
    config.keys = words(good);
    config.urls = words(urls);
    refuses("urls[0]: byte 6: ");
    config.urls = (struct config_words){0};
    config.when = words(when);
    refuses("when[1]: byte 3: ");
    config.when = words(header);
    refuses("when[0]: the header's name");
    config.when = (struct config_words){0};
    config.signature =
        (struct config_signature){.header = (char[]){""}, .value = (char[]){"{digest}"}};
    refuses("signature.header: missing");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_and_urls_become_fields_of_a_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_job_is_for_each_of_the_services, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_keys_or_only_urls_will_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_targets_count_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_target_too_many_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thousand_targets_are_found_equal_or_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_targets_together_have_a_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_templates_together_look_at_so_many_elements, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_key_or_url_is_refused_and_the_template_named,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_of_1025_bytes_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_to_purge_is_no_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_condition_compares_what_a_path_leads_to, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_bare_path_asks_whether_there_is_something, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_condition_may_be_about_a_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_conditions_must_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hook_that_makes_no_sense_is_refused_when_it_is_compiled,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
