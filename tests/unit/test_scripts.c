/* SPDX-License-Identifier: MIT
 * The table of Lua scripts that the build generates contains all scripts, without comments and
 * indentation. */
#include "unit.h"

#include <string.h>

#include "base.h"
#include "scripts.h"

static void every_script_has_its_text(void **state)
{
    (void)state;
    for (int i = 0; i < SCRIPT_N; i++) {
        assert_non_null(scripts[i].name);
        assert_non_null(strstr(scripts[i].text, "redis."));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(scripts[i].name, scripts[k].name);
    }
}

static void redis_is_not_sent_comments_or_indentation(void **state)
{
    (void)state;
    for (int i = 0; i < SCRIPT_N; i++) {
        const char *line = scripts[i].text;

        while (*line) {
            assert_true(*line != ' ' && *line != '\n');
            assert_true(strncmp(line, "--", 2) != 0);
            line = strchr(line, '\n');
            assert_non_null(line);
            line++;
        }
    }
}

static void what_is_shared_is_there_once(void **state)
{
    const char *settle = scripts[SCRIPT_SETTLE].text, *at;

    (void)state;
    at = strstr(settle, "local function now_ms()\n");
    assert_non_null(at);
    assert_null(strstr(at + 1, "local function now_ms()\n"));
    assert_true(at < strstr(settle, "int(now_ms())"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_script_has_its_text),
        cmocka_unit_test(redis_is_not_sent_comments_or_indentation),
        cmocka_unit_test(what_is_shared_is_there_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
