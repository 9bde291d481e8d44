/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include <jansson.h>

#include "fastly.h"
#include "history_line.h"

static void gives(const struct history_purge *p, const char *text)
{
    struct buf b;

    buf_init(&b, HISTORY_PURGE_MAX);
    history_put_purge(&b, p);
    assert_string_equal(buf_span(&b).p, text);
    buf_deinit(&b);
}

static void it_says_what_was_purged_where_and_when(void **state)
{
    (void)state;
    gives(&(struct history_purge){0}, "");
    gives(&(struct history_purge){.named = true,
                                  .kind = TARGET_KEY,
                                  .target = SPAN("article-17"),
                                  .service = SPAN("news"),
                                  .sent_ms = 1764417601200},
          "\"keys\":[\"article-17\"],\"service\":\"news\",\"sent\":1764417601200");
    gives(&(struct history_purge){.named = true,
                                  .kind = TARGET_URL,
                                  .target = SPAN("www.example.com/a\"\\b"),
                                  .more = 2,
                                  .soft = true},
          "\"urls\":[\"www.example.com/a\\\"\\\\b\"],\"more\":2,\"soft\":true");
    gives(&(struct history_purge){.named = true, .kind = TARGET_ALL, .service = SPAN("news")},
          "\"all\":true,\"service\":\"news\"");
    gives(&(struct history_purge){.more = 2, .service = SPAN("news"), .sent_ms = 5},
          "\"service\":\"news\",\"sent\":5");
    gives(&(struct history_purge){.id = SPAN("108-1-2")}, "\"id\":\"108-1-2\"");
    gives(&(struct history_purge){.sent_ms = 5, .id = SPAN("108-1-2"), .by = SPAN("cms")},
          "\"sent\":5,\"id\":\"108-1-2\",\"by\":\"cms\"");
    gives(&(struct history_purge){.by = SPAN("a \"b\"")}, "\"by\":\"a \\\"b\\\"\"");
    gives(&(struct history_purge){.soft = true, .by = SPAN("cms")}, "\"soft\":true,\"by\":\"cms\"");
}

static void who_pushed_is_found_among_the_members(void **state)
{
    (void)state;
    assert_true(span_is(history_by_member(SPAN("\"sent\":5,\"by\":\"a \\\"b\\\"\"")),
                        "\"by\":\"a \\\"b\\\"\""));
    assert_true(span_is(history_by_member(SPAN("\"by\":\"cms\"")), "\"by\":\"cms\""));
    assert_int_equal(history_by_member(SPAN("\"service\":\"by\"")).n, 0);
    assert_int_equal(history_by_member(SPAN("\"keys\":[\"\\\"by\\\":\\\"x\"]")).n, 0);
    assert_int_equal(history_by_member(SPAN("\"sent\":5")).n, 0);
    assert_int_equal(history_by_member(SPAN("")).n, 0);
}

static void of_a_long_target_the_beginning_is_kept(void **state)
{
    char target[URL_MAX_BYTES];
    struct buf b;
    json_t *j;

    (void)state;
    memset(target, 'a', sizeof(target));
    for (size_t n = HISTORY_TARGET_MAX - 1; n <= HISTORY_TARGET_MAX + 1; n++) {
        buf_init(&b, HISTORY_PURGE_MAX);
        buf_putc(&b, '{');
        history_put_purge(&b, &(struct history_purge){
                                  .named = true, .kind = TARGET_URL, .target = span_of(target, n)});
        buf_putc(&b, '}');
        j = json_loads(b.p, 0, NULL);
        assert_non_null(j);
        assert_int_equal(json_string_length(json_array_get(json_object_get(j, "urls"), 0)),
                         n > HISTORY_TARGET_MAX ? HISTORY_TARGET_MAX : n);
        assert_int_equal(json_is_true(json_object_get(j, "cut")), n > HISTORY_TARGET_MAX);
        json_decref(j);
        buf_deinit(&b);
    }
}

static void any_bytes_fit(void **state)
{
    char target[URL_MAX_BYTES], service[SERVICE_NAME_MAX_BYTES], by[JOB_BY_MAX_BYTES];
    char id[FASTLY_ID_MAX_BYTES];
    struct buf b;

    (void)state;
    memset(id, '~', sizeof(id));
    for (int byte = 0; byte < 256; byte++) {
        memset(target, byte, sizeof(target));
        memset(service, byte, sizeof(service));
        memset(by, byte, sizeof(by));
        buf_init(&b, HISTORY_PURGE_MAX);
        history_put_purge(&b, &(struct history_purge){.named = true,
                                                      .kind = TARGET_URL,
                                                      .target = span_of(target, sizeof(target)),
                                                      .more = UINT32_MAX,
                                                      .soft = true,
                                                      .service = span_of(service, sizeof(service)),
                                                      .sent_ms = UINT64_MAX,
                                                      .id = span_of(id, sizeof(id)),
                                                      .by = span_of(by, sizeof(by))});
        assert_int_equal(strcspn(b.p, "\n\r"), b.n);
        buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_was_purged_where_and_when),
        cmocka_unit_test(who_pushed_is_found_among_the_members),
        cmocka_unit_test(of_a_long_target_the_beginning_is_kept),
        cmocka_unit_test(any_bytes_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
