/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "json_text.h"

static void appends(struct span bytes, const char *json)
{
    struct buf to;

    buf_init(&to, SIZE_MAX);
    buf_putc(&to, ':');
    json_text_put(&to, bytes);
    assert_true(to.p[0] == ':' && strcmp(to.p + 1, json) == 0);
    buf_deinit(&to);
}

static void gives(struct span bytes, const char *json)
{
    json_t *j = json_text(bytes);
    char *line = json_text_line(j);

    assert_string_equal(line, json);
    free(line);
    json_decref(j);
    appends(bytes, json);
}

static void any_bytes_are_a_text(void **state)
{
    gives(SPAN(""), "\"\"");
    gives(span_of(NULL, 0), "\"\"");
    gives(SPAN("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    gives(SPAN("caf\xe9"), "\"caf\xc3\xa9\"");
    gives(SPAN("near '\"\\ua\xc3'"), "\"near '\\\"\\\\ua\xc3\x83'\""); /* jansson cuts like this */
    gives(SPAN("a\x1f\x7f\t"), "\"a\\u001F\x7f\\t\"");
    gives(SPAN("a\0b"), "\"a\xef\xbf\xbd"
                        "b\"");
    gives(SPAN("\xff\xfe\xfd"), "\"\xc3\xbf\xc3\xbe\xc3\xbd\"");
    (void)state;
}

static void every_byte_and_many_a_pair_is_a_text(void **state)
{
    for (unsigned i = 0; i < 65536; i += 13) {
        const char pair[2] = {(char)(i >> 8), (char)i};
        json_t *one = json_text(span_of(pair + 1, 1)), *two = json_text(span_of(pair, 2));
        json_t *all = json_pack("{soso}", "one", one, "two", two);
        char *line;

        assert_non_null(all);
        line = json_text_line(all);
        free(line);
        line = json_text_line(two);
        appends(span_of(pair, 2), line);
        free(line);
        json_decref(all);
    }
    (void)state;
}

static void no_text_is_null(void **state)
{
    json_t *j = json_text_of(NULL);

    assert_true(json_is_null(j));
    json_decref(j);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_are_a_text),
        cmocka_unit_test(every_byte_and_many_a_pair_is_a_text),
        cmocka_unit_test(no_text_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
