/* SPDX-License-Identifier: MIT
 * Who pushed a job, by its fields; and whose name that can be. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "job_by.h"

static void the_field_by_holds_then_that_for_older_versions(void **state)
{
    static const struct {
        const char *fields, *by;
    } cases[] = {
        {"keys k", ""},
        {"dead_by ghost by cms", "cms"},
        {"by cms by ghost", "cms"},
        {"dead_by cms dead_by ghost", "cms"},
        {"dead_by", ""},
        {"By cms dead_BY cms", ""},
    };

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct span fields[8], rest = span_str(cases[i].fields), by;
        size_t n = 0;

        while (span_next_word(&rest, ' ', &fields[n]))
            n++;
        by = job_by_of(fields, n);
        if (!span_is(by, cases[i].by))
            fail_msg("%s: %.*s", cases[i].fields, (int)by.n, by.p);
    }
}

static void a_name_that_is_not_valid_is_none(void **state)
{
    char longest[JOB_BY_MAX_BYTES + 1] = "";
    struct span fields[] = {SPAN("by"), SPAN(""), SPAN("dead_by"),
                            span_of(longest, sizeof(longest))};

    (void)state;
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(job_by_of(fields, 4).n, 0);
    fields[3].n--;
    assert_int_equal(job_by_of(fields, 4).n, JOB_BY_MAX_BYTES);
}

static void hooks_and_consumers_are_no_producers(void **state)
{
    (void)state;
    assert_true(job_by_producer(SPAN("cms")));
    assert_true(job_by_producer(SPAN("hook")));
    assert_true(job_by_producer(SPAN("hooked on")));
    assert_true(job_by_producer(SPAN("Hook x")));
    assert_false(job_by_producer(SPAN("hook x")));
    assert_false(job_by_producer(SPAN("hook ")));
    assert_false(job_by_producer(SPAN("consumer x")));
    assert_false(job_by_producer(SPAN("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_by_holds_then_that_for_older_versions),
        cmocka_unit_test(a_name_that_is_not_valid_is_none),
        cmocka_unit_test(hooks_and_consumers_are_no_producers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
