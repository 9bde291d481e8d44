/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "overview_counts.h"

static struct overview_counts counts_of(const char *status)
{
    struct overview o = {.status = (char *)status};
    struct overview_counts c;

    assert_true(overview_counts(&o, &c));
    return c;
}

static void a_batch_counts_as_its_keys_and_any_other_request_as_one_target(void **state)
{
    struct overview_counts c = counts_of("{\"at\":7,\"requests\":10,\"batches\":4,\"batch_keys\":"
                                         "100,\"retries\":1,\"throttled\":2,\"jobs_dead\":3,"
                                         "\"jobs_malformed\":4,\"jobs_purged\":5,\"in_flight\":6}");

    (void)state;
    assert_int_equal(c.at_ms, 7);
    assert_int_equal(c.sent, 106);
    assert_int_equal(c.requests, 10);
    assert_int_equal(c.errors, 10);
    assert_int_equal(c.purged, 5);
    assert_int_equal(c.in_flight, 6);
}

static void what_is_no_report_has_no_counts(void **state)
{
    struct overview o = {0};
    struct overview_counts c;

    (void)state;
    assert_false(overview_counts(&o, &c));
    o.status = (char *)"[]";
    assert_false(overview_counts(&o, &c));
    c = counts_of("{\"requests\":-5,\"batches\":\"x\",\"in_flight\":1.5}");
    assert_int_equal(c.sent, 0);
    assert_int_equal(c.in_flight, 0);
}

static void a_rate_is_that_between_two_reports_of_one_leader(void **state)
{
    struct overview_counts early = {.at_ms = 1000, .requests = 10, .sent = 100},
                           late = {.at_ms = 3000, .requests = 20, .sent = 600},
                           again = {.at_ms = 5000, .requests = 1, .sent = 900};
    size_t sent = offsetof(struct overview_counts, sent);

    (void)state;
    assert_int_equal((int)overview_counts_rate(&early, &late, sent), 250);
    assert_int_equal((int)overview_counts_rate(&late, &early, sent), 0);
    assert_int_equal((int)overview_counts_rate(&late, &late, sent), 0);
    assert_int_equal((int)overview_counts_rate(&late, &again, sent), 0); /* it has started again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_counts_as_its_keys_and_any_other_request_as_one_target),
        cmocka_unit_test(what_is_no_report_has_no_counts),
        cmocka_unit_test(a_rate_is_that_between_two_reports_of_one_leader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
