/* SPDX-License-Identifier: MIT
 * The table of Lua scripts that the build generates contains all scripts, without comments and
 * indentation. */
#include "unit.h"

#include <string.h>

#include "base.h"
#include "redis_reads.h"
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

        if (strncmp(line, REDIS_QUESTION, strlen(REDIS_QUESTION)) == 0)
            line += strlen(REDIS_QUESTION);
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

/* What is not named here counts as a write, which waits for the replicas. */
static void only_these_scripts_are_questions(void **state)
{
    static const enum script questions[] = {SCRIPT_EXAMINE,     SCRIPT_FIND_JOB, SCRIPT_RECEIPTS,
                                            SCRIPT_OVERVIEW,    SCRIPT_SNAPSHOT, SCRIPT_LOOK_READS,
                                            SCRIPT_LOOK_HISTORY};

    (void)state;
    for (int i = 0; i < SCRIPT_N; i++) {
        struct span eval[] = {SPAN("EVAL"), span_str(scripts[i].text), SPAN("0")};
        bool is_question = false;

        for (size_t k = 0; k < array_len(questions); k++)
            is_question |= questions[k] == (enum script)i;
        assert_int_equal(redis_only_reads(array_len(eval), eval), is_question);
    }
}

static void only_commands_that_are_known_to_read_are_questions(void **state)
{
    static const char *const writes[] = {"XADD",    "XDEL",  "HSET",    "hdel",   "RENAMENX",
                                         "EVALSHA", "EXEC",  "PUBLISH", "DEL",    "XSETID",
                                         "SETEX",   "RPUSH", "EVAL",    "NOTYET", "GETDEL"};
    static const char *const reads[] = {"GET", "XRANGE", "xlen", "TIME", "WATCH", "SUBSCRIBE"};

    (void)state;
    for (size_t i = 0; i < array_len(writes); i++)
        assert_false(redis_only_reads(1, (struct span[]){span_str(writes[i])}));
    for (size_t i = 0; i < array_len(reads); i++)
        assert_true(redis_only_reads(1, (struct span[]){span_str(reads[i])}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_script_has_its_text),
        cmocka_unit_test(redis_is_not_sent_comments_or_indentation),
        cmocka_unit_test(what_is_shared_is_there_once),
        cmocka_unit_test(only_these_scripts_are_questions),
        cmocka_unit_test(only_commands_that_are_known_to_read_are_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
