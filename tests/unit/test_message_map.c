/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "message_map.h"
#include "setting.h"

static struct error err;

static void set(struct config_consumer *c, const char *name, const char *value)
{
    if (setting_set(setting_find(SETTING_CONSUMER, name), c, value, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

/* Pairs of a setting and its value, ended by NULL. */
static struct message_map *mapping_of(const char *const *settings)
{
    struct config_consumer c;
    struct message_map *m;

    config_consumer_init(&c);
    for (; *settings; settings += 2)
        set(&c, settings[0], settings[1]);
    m = message_map_new(&c, &err);
    if (!m)
        fail_msg("%s", err.text);
    setting_free(SETTING_CONSUMER, &c); /* it keeps no pointers */
    return m;
}

#define MAPPING(...) mapping_of((const char *const[]){__VA_ARGS__, NULL})

/* Compares the job, as "lane name=value ...". Frees the mapping. */
static void expect_message(struct message_map *m, const struct source_message *message,
                           const char *expected)
{
    char text[1024];
    struct mapped_job job;
    size_t n;

    if (message_map_apply(m, message, &job, &err) < 0)
        fail_msg("%s", err.text);
    n = (size_t)snprintf(text, sizeof(text), "%s", lane_names[job.lane]);
    for (size_t i = 0; i < job.count; i += 2)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %.*s=%.*s", (int)job.fields[i].n,
                              job.fields[i].p, (int)job.fields[i + 1].n, job.fields[i + 1].p);
    assert_string_equal(text, expected);
    message_map_free(m);
}

static void expect(struct message_map *m, const char *body, const char *expected)
{
    const struct source_message message = {.body = span_str(body)};

    expect_message(m, &message, expected);
}

static void refuse(struct message_map *m, struct span body, int code, const char *why)
{
    const struct source_message message = {.body = body};
    struct mapped_job job;

    assert_int_equal(message_map_apply(m, &message, &job, &err), code);
    if (!strstr(err.text, why))
        fail_msg("%s does not say: %s", err.text, why);
    message_map_free(m);
}

static void a_job_is_for_each_service_of_the_consumer(void **state)
{
    (void)state;
    expect(MAPPING("keys", "k-{id}", "service", "news,shop"), "{\"id\":7}",
           "normal keys=k-7 service=news service=shop");
    expect(MAPPING("job", "json", "service", "news,shop"), "{\"keys\":\"a\"}",
           "normal service=news service=shop keys=a");
    expect(MAPPING("job", "json", "service", "news,shop"),
           "{\"keys\":\"a\",\"service\":[\"blog\",\"docs\"]}",
           "normal service=blog service=docs keys=a");
}

static void templates_make_a_job_of_a_message(void **state)
{
    (void)state;
    expect(MAPPING("keys", "article-{id}, tag-{tags[]}", "service", "news", "soft", "true", "lane",
                   "bulk", "repeat_after_ms", "5000"),
           "{\"id\": 17, \"tags\": [\"a\", \"b\"]}",
           "bulk keys=article-17 tag-a tag-b service=news soft=1 repeat_after=5000");
    expect(MAPPING("urls", "https://www.example.com/{slug|path}"), "{\"slug\": \"a b\"}",
           "normal url=https://www.example.com/a%20b");
}

static void a_message_may_be_the_job_itself(void **state)
{
    (void)state;
    expect(MAPPING("job", "json"), "{\"url\": \"https://a/b\", \"keys\": [\"a\", \"b\"]}",
           "normal url=https://a/b keys=a b");
    expect(MAPPING("job", "json"), "{\"keys\": \"a\", \"lane\": \"urgent\"}", "urgent keys=a");
}

static void a_job_that_says_less_gets_the_rest_from_the_consumer(void **state)
{
    (void)state;
    expect(MAPPING("job", "json", "service", "news", "soft", "true", "lane", "bulk",
                   "repeat_after_ms", "7"),
           "{\"keys\": \"a\"}", "bulk service=news soft=1 repeat_after=7 keys=a");
    expect(MAPPING("job", "json", "repeat_after_ms", "auto"), "{\"keys\": \"a\"}",
           "normal repeat_after=auto keys=a");
    expect(MAPPING("job", "json", "service", "news", "soft", "true"),
           "{\"keys\": \"a\", \"service\": \"shop\", \"soft\": false}",
           "normal service=shop soft=0 keys=a");
}

static void the_data_of_a_cloud_event_is_the_job(void **state)
{
    (void)state;
    expect(MAPPING("job", "json"),
           "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"cms\", \"type\": \"purge\", "
           "\"data\": {\"keys\": \"a\"}}",
           "normal keys=a");
    refuse(MAPPING("job", "json"), SPAN("{\"data\": {\"keys\": \"a\"}}"), -EINVAL, "data: ");
}

static void data_of_a_cloud_event_may_be_base64(void **state)
{
    (void)state;
    expect(MAPPING("job", "json"), /* {"keys": "a"} */
           "{\"specversion\": \"1.0\", \"data_base64\": \"eyJrZXlzIjogImEifQ==\"}",
           "normal keys=a");
    expect(MAPPING("keys", "k-{data.keys}"),
           "{\"specversion\": \"1.0\", \"data_base64\": \"eyJrZXlzIjogImEifQ==\"}",
           "normal keys=k-a");
    expect(MAPPING("keys", "{id}"), /* not base64; bytes that are not JSON; no event; data, too */
           "{\"specversion\": \"1.0\", \"id\": 1, \"data_base64\": \"e!\"}", "normal keys=1");
    expect(MAPPING("keys", "{id}"),
           "{\"specversion\": \"1.0\", \"id\": 1, \"data_base64\": \"//79\"}", "normal keys=1");
    refuse(MAPPING("keys", "{data.keys}"), SPAN("{\"data_base64\": \"eyJrZXlzIjogImEifQ==\"}"),
           -ENOENT, "anything to purge");
    expect(MAPPING("keys", "{data.keys}"),
           "{\"specversion\": \"1.0\", \"data\": {\"keys\": \"b\"}, "
           "\"data_base64\": \"eyJrZXlzIjogImEifQ==\"}",
           "normal keys=b");
}

static void an_event_without_data_is_in_its_headers(void **state)
{
    static const char *const names[] = {"ce_specversion", "CE-SpecVersion",
                                        "cloudEvents:specversion", "cloudEvents_specversion"};
    struct source_header headers[] = {{SPAN(""), SPAN("1.0")}, {SPAN("subject"), SPAN("9")}};
    const struct source_message m = {.body = SPAN(""), .headers = headers, .headers_count = 2};

    (void)state;
    for (size_t i = 0; i < array_len(names); i++) {
        headers[0].name = span_str(names[i]);
        expect_message(MAPPING("keys", "a-{header:subject}"), &m, "normal keys=a-9");
    }
}

static void what_was_deleted_has_no_body(void **state)
{
    const struct source_header headers[] = {{SPAN("key"), SPAN("9")}};
    const struct source_message m = {
        .body = SPAN(""), .absent = true, .headers = headers, .headers_count = 1};
    struct message_map *job = MAPPING("job", "json");
    struct mapped_job mapped;

    (void)state;
    expect_message(MAPPING("keys", "a-{header:key}"), &m, "normal keys=a-9");
    assert_int_equal(message_map_apply(job, &m, &mapped, &err), -ENOENT);
    message_map_free(job);
}

static void a_byte_order_mark_is_no_part_of_the_message(void **state)
{
    (void)state;
    expect(MAPPING("keys", "a-{id}"), "\xEF\xBB\xBF{\"id\": 3}", "normal keys=a-3");
    refuse(MAPPING("keys", "a-{id}"), SPAN("\xEF\xBB\xBF"), -EINVAL, "empty");
}

static void headers_decide_with_any_case_of_their_names(void **state)
{
    const struct source_header headers[] = {{SPAN("CE_Type"), SPAN("article.changed")},
                                            {SPAN("ce_id"), SPAN("9")}};
    struct source_message m = {.body = SPAN("{\"id\": 3}"), .headers = headers, .headers_count = 2};

    (void)state;
    expect_message(
        MAPPING("keys", "a-{id}-{header:ce_id}", "when", "header:ce_type=article.changed"), &m,
        "normal keys=a-3-9");
    m.headers_count = 0;
    {
        struct message_map *mapping = MAPPING("keys", "a-{id}", "when", "header:ce_type=*");
        struct mapped_job job;

        assert_int_equal(message_map_apply(mapping, &m, &job, &err), -ENOENT);
        message_map_free(mapping);
    }
}

static void a_message_without_anything_to_purge_is_no_error(void **state)
{
    (void)state;
    refuse(MAPPING("keys", "{id}", "when", "type=article"), SPAN("{\"type\": \"image\"}"), -ENOENT,
           "when[0]");
    refuse(MAPPING("keys", "{id}"), SPAN("{}"), -ENOENT, "anything to purge");
}

static void what_cannot_be_understood_is_refused_with_the_reason(void **state)
{
    (void)state;
    refuse(MAPPING("keys", "{id}"), SPAN("not json"), -EINVAL, "not JSON: ");
    refuse(MAPPING("keys", "{id}"), SPAN(""), -EINVAL, "the message is empty");
    refuse(MAPPING("keys", "{id}"), SPAN("\x1F\x8B\x08"), -EINVAL, "gzip");
    refuse(MAPPING("keys", "{id}"), SPAN("{\"id\": \"a b\"}"), -EINVAL, "keys[0]");
    refuse(MAPPING("keys", "{id[]}", "max_targets", "1"), SPAN("{\"id\": [\"a\", \"b\"]}"), -E2BIG,
           "1");
    refuse(MAPPING("job", "json"), SPAN("[1]"), -EINVAL, "not a JSON object");
    refuse(MAPPING("job", "json"), SPAN("{\"keis\": [\"a\"]}"), -EINVAL, "keis");
    refuse(MAPPING("job", "json"), SPAN("{\"keys\": \"a\", \"keys\": \"b\"}"), -EINVAL, "not JSON");
}

static void a_flaw_that_the_source_found_is_the_reason(void **state)
{
    struct message_map *mapping = MAPPING("keys", "{id}");
    const struct source_message m = {.body = SPAN("{\"id\": 1}"), .flaw = "no field 'data'"};
    struct mapped_job job;

    (void)state;
    assert_int_equal(message_map_apply(mapping, &m, &job, &err), -EINVAL);
    assert_string_equal(err.text, "no field 'data'");
    message_map_free(mapping);
}

static void a_message_may_have_16_MiB_and_no_more(void **state)
{
    char *body = alloc_bytes(MESSAGE_BODY_MAX_BYTES + 2);

    (void)state;
    memset(body, ' ', MESSAGE_BODY_MAX_BYTES + 1);
    memcpy(body, "{\"id\": 1}", 9);
    body[MESSAGE_BODY_MAX_BYTES + 1] = '\0';
    refuse(MAPPING("keys", "{id}"), span_of(body, MESSAGE_BODY_MAX_BYTES + 1), -EMSGSIZE, "16 MiB");
    body[MESSAGE_BODY_MAX_BYTES] = '\0';
    expect(MAPPING("keys", "{id}"), body, "normal keys=1");
    free(body);
}

/* Expects the fields of a signed job as text. Frees the mapping. */
static void expect_signed(struct message_map *m, const char *body, const char *expected)
{
    const struct source_message message = {.body = span_str(body)};
    struct mapped_job job;
    char text[200] = "";
    size_t n = 0;

    for (int i = 0; i < 2; i++) { /* what is kept from one message to the next does no harm */
        assert_int_equal(message_map_apply(m, &message, &job, &err), 0);
        message_map_sign(m, &job);
    }
    for (size_t i = 0; i < job.count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %.*s", (int)job.fields[i].n,
                              job.fields[i].p);
    assert_string_equal(text, expected);
    message_map_free(m);
}

static void a_job_says_which_consumer_pushed_it(void **state)
{
    (void)state;
    expect_signed(MAPPING("name", "articles", "keys", "article-{id}"), "{\"id\": 1}",
                  " keys article-1 dead_by consumer articles");
    expect_signed(MAPPING("name", "articles", "job", "json"),
                  "{\"dead_by\": \"ops\", \"ref\": \"r\", \"keys\": \"a\"}",
                  " ref r keys a dead_by consumer articles");
    refuse(MAPPING("name", "articles", "job", "json"), SPAN("{\"by\": \"ops\", \"keys\": \"a\"}"),
           -EINVAL, "by: unknown field");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_make_a_job_of_a_message),
        cmocka_unit_test(a_job_is_for_each_service_of_the_consumer),
        cmocka_unit_test(a_message_may_be_the_job_itself),
        cmocka_unit_test(a_job_that_says_less_gets_the_rest_from_the_consumer),
        cmocka_unit_test(the_data_of_a_cloud_event_is_the_job),
        cmocka_unit_test(data_of_a_cloud_event_may_be_base64),
        cmocka_unit_test(an_event_without_data_is_in_its_headers),
        cmocka_unit_test(what_was_deleted_has_no_body),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_message),
        cmocka_unit_test(headers_decide_with_any_case_of_their_names),
        cmocka_unit_test(a_message_without_anything_to_purge_is_no_error),
        cmocka_unit_test(what_cannot_be_understood_is_refused_with_the_reason),
        cmocka_unit_test(a_flaw_that_the_source_found_is_the_reason),
        cmocka_unit_test(a_message_may_have_16_MiB_and_no_more),
        cmocka_unit_test(a_job_says_which_consumer_pushed_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
