/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "when.h"

#define URL "\"url\":\"https://o.example/v\""

static struct error error;

static struct when parsed(const char *json)
{
    struct when w;

    if (when_parse(span_str(json), &w, &error) < 0)
        fail_msg("%s: %s", json, error.text);
    return w;
}

static void refused(const char *json, const char *why)
{
    struct when w;

    assert_int_equal(when_parse(span_str(json), &w, &error), -EINVAL);
    assert_string_equal(error.text, why);
}

static void defaults_are_status_200_and_ten_minutes(void **state)
{
    struct when w = parsed("{" URL "}");

    assert_string_equal(w.url, "https://o.example/v");
    assert_int_equal(w.status, 200);
    assert_int_equal(w.within_ms, 600000);
    assert_int_equal(w.test, WHEN_STATUS);
    (void)state;
}

static void every_field_is_read(void **state)
{
    struct when w = parsed("{" URL ",\"status\":204,\"header\":\"x-version\",\"at_least\":17,"
                           "\"within\":1000}");

    assert_int_equal(w.status, 204);
    assert_string_equal(w.header, "x-version");
    assert_int_equal(w.test, WHEN_AT_LEAST);
    assert_int_equal(w.at_least, 17);
    assert_int_equal(w.within_ms, 1000);
    w = parsed("{" URL ",\"header\":\"etag\",\"equals\":\"\\\"17\\\"\"}");
    assert_int_equal(w.test, WHEN_EQUALS);
    assert_string_equal(w.value, "\"17\"");
    w = parsed("{" URL ",\"contains\":\"version 17\",\"within\":86400000}");
    assert_int_equal(w.test, WHEN_CONTAINS);
    assert_string_equal(w.header, "");
    (void)state;
}

static void what_is_wrong_is_named(void **state)
{
    refused("", "when: expected a JSON object like {\"url\": \"https://origin.example.com/\", "
                "\"status\": 200}");
    refused("[]", "when: expected a JSON object like {\"url\": \"https://origin.example.com/\", "
                  "\"status\": 200}");
    refused("{}", "when: url: missing");
    refused("{\"url\":1}", "when: url: expected a text");
    refused("{\"url\":\"\"}", "when: url: not 1 to 2048 bytes");
    refused("{\"url\":\"o.example/v\"}", "when: url: expected https:// or http://");
    refused("{\"url\":\"ftp://o.example/v\"}", "when: url: expected https:// or http://");
    refused("{\"url\":\"https://u:p@o.example/v\"}",
            "when: url: user info (user@host) is not supported");
    refused("{" URL ",\"status\":\"200\"}", "when: status: expected a whole number");
    refused("{" URL ",\"status\":99}", "when: status: not 100 to 599");
    refused("{" URL ",\"status\":600}", "when: status: not 100 to 599");
    refused("{" URL ",\"header\":\"x\"}",
            "when: header: needs one of equals, at_least and contains");
    refused("{" URL ",\"header\":\"x y\",\"equals\":\"1\"}",
            "when: header: not the name of a header");
    refused("{" URL ",\"equals\":\"1\"}", "when: equals: needs header");
    refused("{" URL ",\"at_least\":1}", "when: at_least: needs header");
    refused("{" URL ",\"header\":\"x\",\"at_least\":-1}",
            "when: at_least: not 0 to 9223372036854775807");
    refused("{" URL ",\"header\":\"x\",\"at_least\":1.5}",
            "when: at_least: expected a whole number");
    refused("{" URL ",\"header\":\"x\",\"at_least\":1,\"equals\":\"1\"}",
            "when: more than one of equals, at_least and contains");
    refused("{" URL ",\"within\":999}", "when: within: not 1000 to 86400000 milliseconds");
    refused("{" URL ",\"within\":86400001}", "when: within: not 1000 to 86400000 milliseconds");
    refused("{" URL ",\"at_last\":1}", "when: at_last: unknown field; did you mean at_least?");
    (void)state;
}

static void assert_length(const char *name, size_t max)
{
    char json[2 * WHEN_MAX_BYTES], value[WHEN_MAX_BYTES];
    struct when w;

    for (size_t n = max - 1; n <= max + 1; n++) {
        memset(value, 'x', n);
        value[n] = '\0';
        if (strcmp(name, "url") == 0) {
            memcpy(value, "https://o.example/", 18);
            snprintf(json, sizeof(json), "{\"url\":\"%s\"}", value);
        } else {
            snprintf(json, sizeof(json), "{" URL ",\"%s\":\"%s\"%s}", name, value,
                     strcmp(name, "header") == 0 ? ",\"equals\":\"1\"" : ",\"header\":\"x\"");
        }
        assert_int_equal(when_parse(span_str(json), &w, &error), n <= max ? 0 : -EINVAL);
    }
}

static void every_length_has_a_limit(void **state)
{
    char json[WHEN_MAX_BYTES + 2];
    struct when w;

    assert_length("url", WHEN_URL_MAX_BYTES);
    assert_length("header", WHEN_HEADER_MAX_BYTES);
    assert_length("equals", WHEN_VALUE_MAX_BYTES);
    assert_length("contains", WHEN_VALUE_MAX_BYTES);
    memset(json, ' ', sizeof(json));
    memcpy(json, "{" URL "}", strlen("{" URL "}"));
    assert_int_equal(when_parse(span_of(json, WHEN_MAX_BYTES), &w, &error), 0);
    assert_int_equal(when_parse(span_of(json, WHEN_MAX_BYTES + 1), &w, &error), -EINVAL);
    assert_string_equal(error.text, "when: longer than 4096 bytes");
    (void)state;
}

static bool fits(const char *origin, const char *url)
{
    char *word = (char *)origin;
    const struct config_words origins = {&word, 1};

    return when_origin_fits(&origins, span_str(url));
}

static void only_listed_origins_may_be_asked(void **state)
{
    assert_true(fits("o.example", "https://o.example/v"));
    assert_true(fits("o.example", "HTTPS://O.Example:443/v"));
    assert_true(fits("https://o.example", "https://o.example?x"));
    assert_false(fits("o.example", "http://o.example/v"));
    assert_false(fits("o.example", "https://o.example:8443/v"));
    assert_false(fits("o.example", "https://p.example/o.example"));
    assert_false(fits("o.example", "https://xo.example/"));
    assert_false(fits("o.example", "https://o.example.evil/"));
    assert_true(fits("o.example:8443", "https://o.example:08443/v"));
    assert_false(fits("o.example:8443", "https://o.example/v"));
    assert_true(fits("http://o.example", "http://o.example/v"));
    assert_true(fits("http://o.example:8080", "http://o.example:8080/v"));
    assert_false(fits("http://o.example", "https://o.example/v"));
    assert_false(fits("http://o.example", "https://o.example:80/v"));
    assert_true(fits("http://10.0.0.5:8080", "http://10.0.0.5:8080/"));
    assert_true(fits("https://[::1]:8443", "https://[::1]:8443/"));
    (void)state;
}

static void a_pattern_is_for_names_below_a_domain(void **state)
{
    assert_true(fits("*.example", "https://a.b.example/"));
    assert_true(fits("http://*.example:81", "http://a.example:81/"));
    assert_false(fits("*.example", "https://example/"));
    assert_false(fits("*.example", "https://notexample/"));
    assert_false(fits("*.0.0.1", "https://127.0.0.1/"));
    (void)state;
}

static bool shown(const char *json, int status, const char *header, const char *body)
{
    struct when w = parsed(json);
    struct when_seen seen = {
        .status = status,
        .has_header = header != NULL,
        .header = span_str(header),
        .body = span_str(body),
    };

    return when_shown(&w, &seen);
}

static void the_answer_must_be_the_one_that_is_wanted(void **state)
{
    assert_true(shown("{" URL "}", 200, NULL, ""));
    assert_false(shown("{" URL "}", 404, NULL, ""));
    assert_false(shown("{" URL "}", 0, NULL, ""));
    assert_true(shown("{" URL ",\"status\":404}", 404, NULL, ""));
    assert_true(shown("{" URL ",\"header\":\"x\",\"equals\":\"17\"}", 200, " 17 ", ""));
    assert_false(shown("{" URL ",\"header\":\"x\",\"equals\":\"17\"}", 200, "171", ""));
    assert_false(shown("{" URL ",\"header\":\"x\",\"equals\":\"17\"}", 200, NULL, "17"));
    assert_false(shown("{" URL ",\"header\":\"x\",\"equals\":\"17\"}", 503, "17", ""));
    assert_true(shown("{" URL ",\"header\":\"x\",\"contains\":\"17\"}", 200, "v17b", ""));
    assert_false(shown("{" URL ",\"header\":\"x\",\"contains\":\"17\"}", 200, "v16", "17"));
    assert_true(shown("{" URL ",\"contains\":\"17\"}", 200, NULL, "version 17"));
    assert_false(shown("{" URL ",\"contains\":\"17\"}", 200, "17", "1"));
    (void)state;
}

static void a_version_is_compared_as_a_number(void **state)
{
    const char *json = "{" URL ",\"header\":\"x\",\"at_least\":17}";

    assert_false(shown(json, 200, "16", ""));
    assert_true(shown(json, 200, "17", ""));
    assert_true(shown(json, 200, " 100 ", ""));
    assert_false(shown(json, 200, "9", ""));
    assert_false(shown(json, 200, "", ""));
    assert_false(shown(json, 200, "v17", ""));
    assert_false(shown(json, 200, "-18", ""));
    assert_false(shown(json, 200, "99999999999999999999999", ""));
    (void)state;
}

static void described(const char *json, struct when_seen seen, const char *wanted)
{
    struct when w = parsed(json);
    char text[WHEN_REASON_MAX];

    when_describe(&w, &seen, text, sizeof(text));
    assert_string_equal(text, wanted);
}

static void a_gate_opens_with_any_2xx(void **state)
{
    const int good[] = {200, 204, 299}, bad[] = {0, 100, 199, 300, 302, 404, 503};
    char text[WHEN_REASON_MAX];
    struct when w;

    when_answers("https://o.example/health", &w);
    for (size_t i = 0; i < array_len(good); i++)
        assert_true(when_shown(&w, &(struct when_seen){.status = good[i]}));
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(when_shown(&w, &(struct when_seen){.status = bad[i]}));
    when_describe(&w, &(struct when_seen){.status = 503}, text, sizeof(text));
    assert_string_equal(text, "https://o.example/health answers with status 503 (wanted 2xx)");
    (void)state;
}

static void it_is_said_what_was_seen(void **state)
{
    const char *number =
        "{\"url\":\"https://o.example/v?secret\",\"header\":\"x\",\"at_least\":17}";

    described(number, (struct when_seen){.status = 200, .has_header = true, .header = SPAN("16")},
              "https://o.example/v still answers x: 16 (wanted at least 17)");
    described(number,
              (struct when_seen){.status = 200, .has_header = true, .header = SPAN("\n\xff")},
              "https://o.example/v still answers x: \\x0a\\xff (wanted at least 17)");
    described(number, (struct when_seen){.status = 200},
              "https://o.example/v still answers without x (wanted at least 17)");
    described(number, (struct when_seen){.status = 503},
              "https://o.example/v still answers with status 503 (wanted 200)");
    described(number, (struct when_seen){.error = "Timeout was reached"},
              "https://o.example/v does not answer: Timeout was reached");
    described("{" URL ",\"contains\":\"v17\"}", (struct when_seen){.status = 200},
              "https://o.example/v still answers with a body that lacks the text (wanted one that "
              "contains v17)");
    described("{" URL ",\"header\":\"x\",\"equals\":\"b\"}",
              (struct when_seen){.status = 200, .has_header = true, .header = SPAN("a")},
              "https://o.example/v still answers x: a (wanted b)");
    (void)state;
}

/* The longest of everything still fits, with its end. */
static void a_description_is_never_cut_before_its_end(void **state)
{
    char json[WHEN_MAX_BYTES], value[WHEN_VALUE_MAX_BYTES + 1], text[WHEN_REASON_MAX];
    char url[WHEN_URL_MAX_BYTES + 1], header[WHEN_HEADER_MAX_BYTES + 1];
    struct when w;

    memset(value, 'v', sizeof(value) - 1);
    memset(url, 'u', sizeof(url) - 1);
    memset(header, 'h', sizeof(header) - 1);
    value[sizeof(value) - 1] = url[sizeof(url) - 1] = header[sizeof(header) - 1] = '\0';
    memcpy(url, "https://o.example/", 18);
    snprintf(json, sizeof(json), "{\"url\":\"%s\",\"header\":\"%s\",\"contains\":\"%s\"}", url,
             header, value);
    w = parsed(json);
    when_describe(&w,
                  &(struct when_seen){.status = 200, .has_header = true, .header = span_str(value)},
                  text, sizeof(text));
    assert_int_equal(text[strlen(text) - 1], ')');
    (void)state;
}

static char *question_of(const char *json)
{
    struct when w = parsed(json);
    struct buf b;

    buf_init(&b, 2 * WHEN_MAX_BYTES);
    when_put_question(&w, &b);
    for (size_t i = 0; i < b.n; i++)
        b.p[i] = b.p[i] ? b.p[i] : '|';
    return buf_take(&b);
}

static bool same_question(const char *a, const char *b)
{
    char *left = question_of(a), *right = question_of(b);
    bool same = strcmp(left, right) == 0;

    free(left);
    free(right);
    return same;
}

static void only_within_is_no_part_of_the_question(void **state)
{
    const char *first = "{" URL ",\"header\":\"x\",\"at_least\":17}";

    assert_true(same_question(first, "{" URL ",\"header\":\"X\",\"at_least\":17,\"within\":5000}"));
    assert_false(same_question(first, "{" URL ",\"header\":\"x\",\"at_least\":18}"));
    assert_false(same_question(first, "{" URL ",\"header\":\"y\",\"at_least\":17}"));
    assert_false(same_question(first, "{" URL ",\"header\":\"x\",\"at_least\":17,\"status\":201}"));
    assert_false(same_question("{" URL ",\"header\":\"x\",\"equals\":\"17\"}",
                               "{" URL ",\"header\":\"x\",\"contains\":\"17\"}"));
    assert_false(same_question(first, "{\"url\":\"https://o.example/V\",\"header\":\"x\","
                                      "\"at_least\":17}"));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_status_200_and_ten_minutes),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(every_length_has_a_limit),
        cmocka_unit_test(only_listed_origins_may_be_asked),
        cmocka_unit_test(a_pattern_is_for_names_below_a_domain),
        cmocka_unit_test(the_answer_must_be_the_one_that_is_wanted),
        cmocka_unit_test(a_version_is_compared_as_a_number),
        cmocka_unit_test(a_gate_opens_with_any_2xx),
        cmocka_unit_test(it_is_said_what_was_seen),
        cmocka_unit_test(a_description_is_never_cut_before_its_end),
        cmocka_unit_test(only_within_is_no_part_of_the_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
