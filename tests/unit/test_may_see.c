/* SPDX-License-Identifier: MIT
 * Whose job it is, by its receipt; and who is told the name. */
#include "unit.h"

#include <jansson.h>

#include "http_internal.h"

static bool pushed(const char *producer, json_t *receipt)
{
    const struct config_producer who = {.name = (char *)producer};
    bool is = request_pushed(&who, receipt), shown;

    request_hide_pusher(&who, receipt);
    shown = json_object_get(receipt, "by") != NULL;
    assert_true(is == shown);
    json_decref(receipt);
    return is;
}

static void a_job_is_that_of_the_producer_with_exactly_its_name(void **state)
{
    (void)state;
    assert_true(pushed("cms", json_pack("{ss}", "by", "cms")));
    assert_false(pushed("cms", json_pack("{ss}", "by", "CMS")));
    assert_false(pushed("cms", json_pack("{ss}", "by", "cms2")));
    assert_false(pushed("cms", json_pack("{ss%}", "by", "cms\0x", (size_t)5)));
    assert_false(pushed("cms", json_pack("{s[s]}", "by", "cms")));
    assert_false(pushed("cms", json_pack("{si}", "by", 7)));
    assert_false(pushed("cms", json_object()));
    assert_false(pushed("", json_pack("{ss}", "by", "")));
}

/* A producer may have any name, but jobs of hooks and consumers are not its own. */
static void the_name_of_a_hook_is_nobodys(void **state)
{
    (void)state;
    assert_false(pushed("hook x", json_pack("{ss}", "by", "hook x")));
    assert_false(pushed("consumer x", json_pack("{ss}", "by", "consumer x")));
}

static void operators_are_told_each_name(void **state)
{
    const struct config_producer ops = {.name = (char *)"ops", .admin = true};
    json_t *j = json_pack("{ss}", "by", "hook x");

    (void)state;
    request_hide_pusher(&ops, j);
    assert_string_equal(json_string_value(json_object_get(j, "by")), "hook x");
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_that_of_the_producer_with_exactly_its_name),
        cmocka_unit_test(the_name_of_a_hook_is_nobodys),
        cmocka_unit_test(operators_are_told_each_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
