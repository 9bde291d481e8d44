/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "jobform.h"
#include "lines.h"

static struct error error;

/* "name=value name=value" */
static void assert_fields(struct jobform *f, const char *wanted)
{
    char text[1024] = "";
    size_t count, used = 0;
    const struct span *fields = jobform_fields(f, &count);

    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s",
                                 i == 0  ? ""
                                 : i % 2 ? "="
                                         : " ",
                                 (int)fields[i].n, fields[i].p);
    assert_string_equal(text, wanted);
}

static int add(struct jobform *f, const char *text)
{
    return jobform_add_targets(f, JOBFORM_GUESS, span_str(text), &error);
}

static int add_json(struct jobform *f, const char *text)
{
    return jobform_add_json(f, span_str(text), &error);
}

static void assert_json(const char *text, const char *wanted)
{
    struct jobform f;

    jobform_init(&f, LANE_NORMAL);
    if (add_json(&f, text) < 0)
        fail_msg("%s: %s", text, error.text);
    assert_fields(&f, wanted);
    jobform_deinit(&f);
}

static void refuse_json(const char *text, const char *why)
{
    struct jobform f;

    jobform_init(&f, LANE_NORMAL);
    assert_int_equal(add_json(&f, text), -EINVAL);
    if (!strstr(error.text, why))
        fail_msg("%s: expected \"%s\", found \"%s\"", text, why, error.text);
    jobform_deinit(&f);
}

static void a_text_with_a_scheme_is_a_url_and_others_are_keys(void **state)
{
    struct jobform f;

    (void)state;
    jobform_init(&f, LANE_NORMAL);
    assert_int_equal(add(&f, "a"), 0);
    assert_int_equal(add(&f, "http://h/x?y=1"), 0);
    assert_int_equal(add(&f, "b  c"), 0);
    assert_int_equal(f.targets, 4);
    assert_fields(&f, "url=http://h/x?y=1 keys=a b c");
    jobform_deinit(&f);
}

static void a_line_with_one_bad_key_changes_nothing(void **state)
{
    struct jobform f;

    (void)state;
    jobform_init(&f, LANE_NORMAL);
    assert_int_equal(add(&f, "a"), 0);
    assert_int_equal(add(&f, "b \x01 c"), -EINVAL);
    assert_int_equal(add(&f, "http:// x"), -EINVAL);
    assert_int_equal(add(&f, ""), -EINVAL);
    assert_int_equal(add(&f, "d"), 0);
    assert_fields(&f, "keys=a d");
    jobform_deinit(&f);
}

static void a_key_of_1024_bytes_fits_and_one_of_1025_does_not(void **state)
{
    char key[1026] = "";
    struct jobform f;

    (void)state;
    for (size_t n = 1023; n <= 1025; n++) {
        jobform_init(&f, LANE_NORMAL);
        memset(key, 'k', n);
        assert_int_equal(add(&f, key), n <= 1024 ? 0 : -EINVAL);
        jobform_deinit(&f);
    }
}

static void a_job_holds_10000_targets_and_not_one_more(void **state)
{
    struct jobform f;

    (void)state;
    jobform_init(&f, LANE_NORMAL);
    for (int i = 0; i < JOB_TARGETS_MAX - 1; i++)
        assert_int_equal(add(&f, "k"), 0);
    assert_int_equal(add(&f, "k k"), -EINVAL); /* no part of the line is added */
    assert_int_equal(add(&f, "k"), 0);
    assert_int_equal(add(&f, "k"), -EINVAL);
    assert_int_equal(add(&f, "http://h/"), -EINVAL);
    assert_int_equal(f.targets, JOB_TARGETS_MAX);
    jobform_deinit(&f);
}

static void json_says_the_same_as_the_wire_contract(void **state)
{
    (void)state;
    assert_json("{\"keys\": \"a b\"}", "keys=a b");
    assert_json("{\"keys\": [\"a\", \"b\"], \"service\": \"s\"}", "service=s keys=a b");
    assert_json("{\"url\": \"http://h/\", \"soft\": true}", "url=http://h/ soft=1");
    assert_json("{\"url\": [\"h/1\", \"h/2\"], \"soft\": 0}", "url=h/1 url=h/2 soft=0");
    assert_json("{\"all\": \"1\", \"not_before\": 1700000000000}",
                "all=1 not_before=1700000000000");
    assert_json("{\"ref\": \"\\u00e4\", \"keys\": \"a\"}", "ref=\xc3\xa4 keys=a");
}

static void json_chooses_the_lane_of_its_job(void **state)
{
    struct jobform f;

    (void)state;
    jobform_init(&f, LANE_NORMAL);
    assert_int_equal(add_json(&f, "{\"lane\": \"urgent\", \"keys\": \"a\"}"), 0);
    assert_int_equal(f.lane, LANE_URGENT);
    assert_fields(&f, "keys=a");
    jobform_clear(&f, LANE_BULK);
    assert_int_equal(f.lane, LANE_BULK);
    assert_fields(&f, "");
    jobform_deinit(&f);
}

static void json_that_is_wrong_is_refused_by_the_field(void **state)
{
    (void)state;
    refuse_json("{\"keys\": [\"a b\"]}", "keys: "); /* otherwise it becomes two keys */
    refuse_json("{\"keys\": [\"\"]}", "keys: ");
    refuse_json("{\"keys\": [1]}", "keys: the list may only hold texts");
    refuse_json("{\"keys\": {}}", "keys: expected a text");
    refuse_json("{\"keys\": null}", "keys: expected a text");
    refuse_json("{\"not_before\": 1.5}", "not_before: expected a text, a number");
    refuse_json("{\"ref\": [\"a\"]}", "ref: a list is only for keys, url and service");
    refuse_json("{\"service\": []}", "service: the list is empty");
    refuse_json("{\"service\": [\"a\", \"\"]}", "service: empty");
    refuse_json("{\"service\": [17]}", "service: the list may only hold texts");
    refuse_json("{\"service\": {\"a\": 1}}", "service: expected a text, a number");
    refuse_json("{\"lane\": \"fast\"}", "lane: expected urgent, normal or bulk");
    refuse_json("{\"keys\": \"a\", \"keys\": \"b\"}", "not a JSON object: ");
    refuse_json("[\"a\"]", "not a JSON object: ");
    refuse_json("{\"keys\": \"a\"} x", "not a JSON object: ");
    refuse_json("{\"keys\": \"a\\u0000b\"}", "not a JSON object: ");
    refuse_json("{", "not a JSON object: ");
}

static void json_says_who_pushes_only_where_that_is_believed(void **state)
{
    struct jobform f;

    (void)state;
    refuse_json("{\"keys\": \"a\", \"by\": \"x\"}", "by: unknown field");
    refuse_json("{\"keys\": \"a\", \"by\": 1}", "by: unknown field");
    refuse_json("{\"keys\": \"a\", \"by\": [\"x\"]}", "by: a list");
    jobform_init(&f, LANE_NORMAL);
    f.takes_by = true;
    assert_int_equal(add_json(&f, "{\"by\": \"x\", \"keys\": \"a\"}"), 0);
    assert_fields(&f, "by=x keys=a");
    jobform_deinit(&f);
}

static void whoever_pushes_is_noted_instead_of_what_the_job_says(void **state)
{
    static char by[257];
    struct jobform f;

    (void)state;
    memset(by, 'b', sizeof(by));
    jobform_init(&f, LANE_NORMAL);
    f.takes_by = true;
    assert_int_equal(
        add_json(&f, "{\"dead_by\": \"x\", \"ref\": \"r\", \"by\": \"y\", \"keys\": \"a\"}"), 0);
    jobform_sign(&f, SPAN("cms"));
    assert_fields(&f, "ref=r dead_by=cms keys=a");
    jobform_sign(&f, SPAN("shop"));
    assert_fields(&f, "ref=r keys=a dead_by=shop");
    jobform_sign(&f, span_of(by, 257));
    assert_fields(&f, "ref=r keys=a");
    jobform_deinit(&f);
}

static void what_a_job_says_itself_wins_over_what_all_have_in_common(void **state)
{
    struct jobform f, common;

    (void)state;
    jobform_init(&common, LANE_NORMAL);
    jobform_put(&common, "service", SPAN("s"));
    jobform_put(&common, "ref", SPAN("r"));
    jobform_init(&f, LANE_NORMAL);
    assert_int_equal(add_json(&f, "{\"service\": \"own\", \"keys\": \"a\"}"), 0);
    jobform_add_missing(&f, &common);
    assert_fields(&f, "service=own ref=r keys=a");
    jobform_deinit(&f);
    jobform_deinit(&common);
}

/* -- lines -- */

static FILE *file_of(const char *text, size_t n)
{
    FILE *f = tmpfile();

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    rewind(f);
    return f;
}

static void assert_line(struct lines *l, uint64_t number, const char *text)
{
    struct span line;

    assert_int_equal(lines_next(l, &line), 1);
    assert_int_equal(l->number, number);
    assert_true(span_is(line, text));
}

static void lines_come_numbered_and_trimmed_whatever_ends_them(void **state)
{
    static const char text[] = "a\n\n b \t\r\nc d";
    FILE *f = file_of(text, sizeof(text) - 1);
    struct lines l;
    struct span line;

    (void)state;
    lines_init(&l, f, 100);
    assert_line(&l, 1, "a");
    assert_line(&l, 2, "");
    assert_line(&l, 3, "b");
    assert_line(&l, 4, "c d");
    assert_int_equal(lines_next(&l, &line), 0);
    assert_int_equal(l.bytes, sizeof(text) - 1);
    lines_deinit(&l);
    fclose(f);
}

static void a_line_too_long_is_passed_over_and_the_next_is_read(void **state)
{
    struct span line;
    struct lines l;
    char *text = malloc(20003);
    FILE *f;

    (void)state;
    for (size_t n = 9999; n <= 10001; n++) { /* including the newline */
        memset(text, 'x', n);
        memcpy(text + n - 1, "\ny\n", 3);
        f = file_of(text, n + 2);
        lines_init(&l, f, 10000);
        assert_int_equal(lines_next(&l, &line), n <= 10000 ? 1 : -EMSGSIZE);
        assert_line(&l, 2, "y");
        lines_deinit(&l);
        fclose(f);
    }
    free(text);
}

static void a_file_that_cannot_be_read_is_an_error_and_not_an_end(void **state)
{
    FILE *f = fopen("/", "r");
    struct span line;
    struct lines l;

    (void)state;
    assert_non_null(f);
    lines_init(&l, f, 100);
    assert_int_equal(lines_next(&l, &line), -EISDIR);
    lines_deinit(&l);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_with_a_scheme_is_a_url_and_others_are_keys),
        cmocka_unit_test(a_line_with_one_bad_key_changes_nothing),
        cmocka_unit_test(a_key_of_1024_bytes_fits_and_one_of_1025_does_not),
        cmocka_unit_test(a_job_holds_10000_targets_and_not_one_more),
        cmocka_unit_test(json_says_the_same_as_the_wire_contract),
        cmocka_unit_test(json_chooses_the_lane_of_its_job),
        cmocka_unit_test(json_that_is_wrong_is_refused_by_the_field),
        cmocka_unit_test(json_says_who_pushes_only_where_that_is_believed),
        cmocka_unit_test(whoever_pushes_is_noted_instead_of_what_the_job_says),
        cmocka_unit_test(what_a_job_says_itself_wins_over_what_all_have_in_common),
        cmocka_unit_test(lines_come_numbered_and_trimmed_whatever_ends_them),
        cmocka_unit_test(a_line_too_long_is_passed_over_and_the_next_is_read),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error_and_not_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
