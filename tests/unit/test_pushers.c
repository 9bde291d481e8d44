/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "pushers.h"

static void a_name_has_one_number(void **state)
{
    struct pushers p = {.count = 0};
    char name[JOB_BY_MAX_BYTES + 1];

    (void)state;
    memset(name, 'n', sizeof(name));
    assert_int_equal(pushers_number(&p, SPAN("cms")), 1);
    assert_int_equal(pushers_number(&p, SPAN("cms2")), 2);
    assert_int_equal(pushers_number(&p, SPAN("cms")), 1);
    assert_int_equal(pushers_number(&p, span_of(name, JOB_BY_MAX_BYTES)), 3);
    assert_int_equal(pushers_number(&p, span_of(name, JOB_BY_MAX_BYTES + 1)), 0);
    assert_int_equal(pushers_number(&p, SPAN("")), 0);
    assert_true(span_is(pushers_name(&p, 1), "cms"));
    assert_int_equal(pushers_name(&p, 3).n, JOB_BY_MAX_BYTES);
    assert_int_equal(pushers_name(&p, 0).n, 0);
}

static void more_names_than_numbers_have_none(void **state)
{
    struct pushers p = {.count = 0};
    char name[1];

    (void)state;
    for (unsigned i = 1; i <= PUSHERS_MAX; i++) {
        assert_false(pushers_full(&p));
        name[0] = (char)('a' + i);
        assert_int_equal(pushers_number(&p, span_of(name, 1)), i);
    }
    assert_true(pushers_full(&p));
    assert_int_equal(pushers_number(&p, SPAN("z")), 0);
    assert_int_equal(pushers_number(&p, SPAN("b")), 1);
    pushers_clear(&p);
    assert_int_equal(pushers_number(&p, SPAN("z")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_number),
        cmocka_unit_test(more_names_than_numbers_have_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
