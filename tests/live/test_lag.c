/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include "base.h"
#include "clock.h"

#define LINGER_MS 100 /* of the bulk lane: no job in it is sent earlier */

/* The histogram's buckets are up to two and a half times as wide as the real value. */
static void how_long_a_job_waited_for_the_wire_is_told_by_lane(void **state)
{
    long long told_ms = 0, waited_ms;
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    j = rig_push(r, "bulk", "keys", "early", NULL);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    waited_ms = (long long)(clock_wall_ms() - j.ms);
    rig_await(r, (told_ms = rig_status(r, "bulk_to_wire_p99_ms")) > 0);
    assert_true(told_ms >= LINGER_MS);
    assert_true(told_ms <= waited_ms * 5 / 2);
    assert_int_equal(rig_status(r, "urgent_to_wire_p99_ms"), 0);
    assert_int_equal(rig_status(r, "jobs_purged"), 1);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(how_long_a_job_waited_for_the_wire_is_told_by_lane),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
