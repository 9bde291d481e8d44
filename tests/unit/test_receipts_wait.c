/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>

#include "receipts_wait.h"

static void only_ids_of_jobs_can_be_waited_for(void **state)
{
    static const char *const bad[] = {"",
                                      "normal",
                                      "normal-1",
                                      "normal-1-",
                                      "normal--1-2",
                                      "normal-1--2",
                                      "-normal-1-2",
                                      "normal-1-2-",
                                      "normal-1-2-3",
                                      "normal-01-2",
                                      "normal-1-02",
                                      "normal-1-2+r",
                                      "idle-1-2",
                                      "normal-99999999999999999999-0"};
    struct receipts_wait *r = receipts_wait_new(&(struct config_account){.name = (char *)"main"});

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(receipts_wait_expect(r, bad[i]), -EINVAL);
    assert_int_equal(receipts_wait_open(r), 0);
    assert_int_equal(receipts_wait_expect(r, "urgent-1700000000000-0"), 0);
    assert_int_equal(receipts_wait_expect(r, "bulk-1-18446744073709551615"), 0);
    assert_int_equal(receipts_wait_open(r), 2);
    receipts_wait_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ids_of_jobs_can_be_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
