/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <jansson.h>

#include "history_match.h"

#define CMS                                                                                        \
    "{\"job\":\"normal-1-1\",\"state\":\"purged\",\"purge\":{\"keys\":[\"a\"],\"by\":\"cms\"}}"
#define NOBODY "{\"job\":\"normal-1-2\",\"state\":\"purged\",\"purge\":{\"keys\":[\"cms\"]}}"
#define ACT "{\"act\":\"pause\",\"by\":\"cms from 127.0.0.1\"}"
#define OTHER_ACT "{\"act\":\"pause\",\"by\":\"cms from here from 127.0.0.1\"}"
#define PERSON "{\"act\":\"pause\",\"by\":\"root@host\"}"

static json_t *found(const char *producer, const char *line)
{
    const struct history_filter f = {.producer = span_str(producer)};
    struct history_wanted *w = history_wanted_new(&f);
    json_t *j = history_match(w, span_str(line), 5);

    history_wanted_free(w);
    return j;
}

static bool has_id(const char *id, const char *line)
{
    const struct history_filter f = {.purge_id = span_str(id)};
    struct history_wanted *w = history_wanted_new(&f);
    json_t *j = history_match(w, span_str(line), 5);

    history_wanted_free(w);
    json_decref(j);
    return j != NULL;
}

static bool finds(const char *producer, const char *line)
{
    json_t *j = found(producer, line);
    bool yes = j != NULL;

    json_decref(j);
    return yes;
}

static void whoever_pushed_a_job_or_acted_is_found_by_the_same_name(void **state)
{
    (void)state;
    assert_true(finds("cms", CMS));
    assert_true(finds("cms", ACT));
    assert_true(finds("cms from 127.0.0.1", ACT));
    assert_true(finds("cms from here", OTHER_ACT));
    assert_true(finds("root@host", PERSON));
    assert_true(finds("", NOBODY));
    assert_false(finds("cms", NOBODY));
    assert_false(finds("cms", OTHER_ACT));
    assert_false(finds("cm", CMS));
    assert_false(finds("cms2", CMS));
    assert_false(finds("cm", ACT));
    assert_false(finds("root", PERSON));
    /* " from " ends a name only in acts */
    assert_false(
        finds("cms", "{\"job\":\"normal-1-1\",\"purge\":{\"by\":\"cms from 127.0.0.1\"}}"));
    assert_true(
        finds("a \"b\"\xc3\xa4", "{\"job\":\"x\",\"purge\":{\"by\":\"a \\\"b\\\"\xc3\xa4\"}}"));
    assert_false(finds("cms", "{\"job\":\"x\",\"by\":[\"cms\"],\"purge\":{\"by\":7}}"));
    assert_false(finds("cms", "{\"job\":\"x\",\"ref\":\"\\\"by\\\":\\\"cms\\\"\",\"purge\":[]}"));
}

#define WITH_ID                                                                                    \
    "{\"job\":\"normal-1-1\",\"state\":\"purged\",\"purge\":{\"keys\":[\"a\"],\"id\":\"1-2-3\"}}"
#define ELSEWHERE                                                                                  \
    "{\"job\":\"normal-1-1\",\"state\":\"purged\",\"id\":\"1-2-3\",\"purge\":{\"keys\":[\"1-2-"    \
    "3\"]}}"

static void jobs_are_found_by_the_id_of_their_purge(void **state)
{
    (void)state;
    assert_true(has_id("1-2-3", WITH_ID));
    assert_true(has_id("", WITH_ID));
    assert_false(has_id("1-2", WITH_ID));
    assert_false(has_id("1-2-3-4", WITH_ID));
    assert_false(has_id("1-2-3", ELSEWHERE));
    assert_false(has_id("1-2-3", CMS));
}

static void who_pushed_stands_where_acts_have_who_acted(void **state)
{
    json_t *j = found("cms", CMS);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(j, "by")), "cms");
    assert_null(json_object_get(json_object_get(j, "purge"), "by"));
    assert_true(history_is_by(j, SPAN("cms")));
    json_decref(j);
    j = found("", NOBODY);
    assert_non_null(j);
    assert_null(json_object_get(j, "by"));
    assert_false(history_is_by(j, SPAN("cms")));
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_pushed_a_job_or_acted_is_found_by_the_same_name),
        cmocka_unit_test(jobs_are_found_by_the_id_of_their_purge),
        cmocka_unit_test(who_pushed_stands_where_acts_have_who_acted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
