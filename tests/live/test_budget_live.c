/* SPDX-License-Identifier: MIT
 * The budget as counted by the receiver is never exceeded. Also tests the reaction to a 429. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "shell.h"

/* S1: in another project, saving a section sent a purge for each entry; Cloudflare answered 429,
 * and the job reached its time limit: https://github.com/putyourlightson/craft-blitz/issues/296 */
static void ten_thousand_jobs_against_a_throttling_api_are_all_purged_s1(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 100000, burst: 20000}\n", "");

    sandbox_fault(r->sandbox, "budget=4000&per_s=2&effect=0");
    rig_start_leading(r, 0);
    rig_push_keys(r, "normal", "entry-", 0, 10000);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 10000);
    assert_int_equal(rig_dead_count(r), 0);
    assert_true(requests_with_status(&r->requests, 429) > 0);
    assert_in_range(requests_peak(&r->requests, 1999), 1, 4000);
    rig_close(r);
}

static const struct request *nth(struct rig *r, size_t n)
{
    rig_await(r, requests_with_status(&r->requests, ANY_STATUS) > n);
    return &r->requests.at[n];
}

/* S2: in another project, a "throttle" sent all chunks at once, and if any of them succeeded, all
 * were reported as done: https://github.com/putyourlightson/craft-blitz/issues/341 */
static void when_the_third_of_ten_batches_is_throttled_only_its_keys_are_sent_again_s2(void **state)
{
    struct rig *r =
        rig_open(state, "    max_in_flight: 1\n    lanes: {normal: {linger_ms: 500}}\n", "");
    const struct request *third;
    size_t twice = 0;
    char name[16];

    sandbox_fault(r->sandbox, "effect=0&latency_ms=3000&count=2");
    rig_push_keys(r, "normal", "k", 0, 2560);
    rig_start(r, 0);
    rig_await(r, sandbox_faults_used_up(r->sandbox)); /* the second request is being answered */
    sandbox_fault(r->sandbox, "throttle=1&count=1&retry_after=1");
    third = nth(r, 2);
    assert_int_equal(third->status, 429);
    assert_in_range(rig_receipts(r, "purged"), 256, 512);
    rig_await_empty(r);
    rig_await(r, requests_with_status(&r->requests, 200) == 10);
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 11);
    for (int i = 0; i < 2560; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        assert_int_equal(requests_naming(&r->requests, name, 200), 1);
        twice += requests_naming(&r->requests, name, 429);
    }
    assert_int_equal(twice, 256);
    assert_int_equal(rig_receipts(r, "purged"), 2560);
    rig_close(r);
}

/* S3: in another project, a batch with more tags than the remaining limit was refused as a whole,
 * again and again: https://github.com/NCIOCPL/cgov-digital-platform/issues/2128 */
static void a_job_larger_than_the_budget_is_sent_in_parts_and_does_not_starve_s3(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 200, per_s: 1, burst: 100}\n", "");
    char keys[8192] = "";
    struct job large;

    for (int i = 0; i < 500; i++)
        sprintf(keys + strlen(keys), "large-%d ", i);
    keys[strlen(keys) - 1] = '\0';
    rig_start_leading(r, 0);
    rig_push_keys(r, "normal", "before-", 0, 300);
    large = rig_push(r, "normal", "keys", keys, NULL);
    rig_push_keys(r, "normal", "after-", 0, 1000);
    rig_await_ended(r, &large, "purged");
    assert_false(rig_is_empty(r)); /* it did not wait for all the small jobs */
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 1301);
    assert_in_range(requests_peak(&r->requests, 1000), 1, 200);
    rig_close(r);
}

/* S5b: a limiter with fixed windows let 11 through instead of 10, and twice as many around the edge
 * of a window: https://github.com/OptimalBits/bull/issues/2777 */
static void restarts_within_the_window_refill_nothing_s5b(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 300, per_s: 3, burst: 150}\n", "");
    unsigned restarts = 0;

    rig_push_keys(r, "normal", "k", 0, 1000);
    rig_start_leading(r, 0);
    while (!rig_is_empty(r)) {
        uint64_t spent = requests_spent(&r->requests, 0, NEVER);

        rig_await(r, rig_is_empty(r) || requests_spent(&r->requests, 0, NEVER) >= spent + 30);
        if (restarts++ % 2)
            rig_stop(r, 0);
        else
            instance_kill(&r->instances[0]);
        rig_start_leading(r, 0);
    }
    assert_true(restarts > 5);
    assert_int_equal(rig_receipts(r, "purged"), 1000);
    assert_in_range(requests_peak(&r->requests, 3000), 1, 300);
    rig_close(r);
}

/* S5e: in another queue, waiting because of a limit counted as a failed attempt, so valid messages
 * became dead letters: https://github.com/taskforcesh/bullmq/issues/1571 */
static void five_429s_burn_no_attempt_s5e(void **state)
{
    struct rig *r = rig_open(state, "    attempts: 2\n", "");
    struct job j;

    sandbox_fault(r->sandbox, "throttle=1&count=5&retry_after=1");
    sandbox_fault(r->sandbox, "status=503&count=1&retry_after=1"); /* uses one attempt */
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    rig_await(r, requests_naming(&r->requests, "k", 200) == 1);
    assert_int_equal(requests_naming(&r->requests, "k", 429), 5);
    rig_close(r);
}

/* S5f: purges from the vendor's own pages and tools use the same limit:
 * https://github.com/danielpigott/cloudflare-cli/issues/15 */
static void when_somebody_else_spends_too_all_is_purged_all_the_same_s5f(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 900, per_s: 3, burst: 900}\n", "");

    sandbox_fault(r->sandbox, "budget=900&per_s=3&foreign=600&effect=0");
    rig_start_leading(r, 0);
    rig_push_keys(r, "normal", "k", 0, 2000);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 2000);
    assert_in_range(requests_with_status(&r->requests, 429), 1, 20);
    rig_close(r);
}

static void status_tells_of_a_429_that_came_too_early(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct shell sh;
    struct job j;

    shell_open(&sh);
    setenv("PURGELINE_CONFIG", r->config, 1);
    sandbox_fault(r->sandbox, "throttle=1&count=1&retry_after=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "a b", NULL);
    rig_await_ended(r, &j, "purged");
    rig_await(r, shell_run(&sh, "$P status") == 0 && strstr(sh.out, "Fastly refused at 2 of "));
    shell_join_lines(&sh);
    shell_assert_out(&sh, "; bursts are halved to 25,250 until ");
    rig_stop(r, 0);
    rig_start_leading(r, 0); /* its successor knows it, too */
    rig_await(r, shell_run(&sh, "$P status") == 0 && strstr(sh.out, "Fastly refused at 2 of "));
    unsetenv("PURGELINE_CONFIG");
    shell_close(&sh);
    rig_close(r);
}

/* S40: another sender ignored Retry-After, and later its jitter undercut it:
 * https://github.com/svix/svix-webhooks/issues/2199 */
static void nothing_is_sent_before(struct rig *r, const char *key, size_t n, uint64_t at_ms)
{
    rig_await(r, requests_find(&r->requests, key, n));
    assert_true(requests_find(&r->requests, key, n)->begin_ms >= at_ms);
}

static void retry_after_in_seconds_is_honoured_for_429_and_503_s40(void **state)
{
    static const char *const faults[] = {"throttle=1", "status=503"};
    struct rig *r = rig_open(state, "", "");

    rig_start_leading(r, 0);
    for (size_t i = 0; i < array_len(faults); i++) {
        const char *key = faults[i] + strlen(faults[i]) - 1;
        struct job j;

        sandbox_fault(r->sandbox, "%s&count=1&retry_after=2", faults[i]);
        j = rig_push(r, "normal", "keys", key, NULL);
        rig_await(r, requests_find(&r->requests, key, 0));
        nothing_is_sent_before(r, key, 1, requests_find(&r->requests, key, 0)->t_ms + 2000);
        rig_await_ended(r, &j, "purged");
    }
    rig_close(r);
}

static void retry_after_as_a_date_is_honoured_for_429_and_503_s40(void **state)
{
    static const char *const faults[] = {"throttle=1", "status=503"};
    struct rig *r = rig_open(state, "", "");

    rig_start_leading(r, 0);
    for (size_t i = 0; i < array_len(faults); i++) {
        const char *key = faults[i] + strlen(faults[i]) - 1;
        time_t at = (time_t)(clock_wall_ms() / 1000) + 2;
        struct job j;
        char date[64];

        strftime(date, sizeof(date), "%a,%%20%d%%20%b%%20%Y%%20%T%%20GMT", gmtime(&at));
        sandbox_fault(r->sandbox, "%s&count=1&retry_after=%s", faults[i], date);
        j = rig_push(r, "normal", "keys", key, NULL);
        nothing_is_sent_before(r, key, 1, (uint64_t)at * 1000);
        rig_await_ended(r, &j, "purged");
    }
    rig_close(r);
}

static void while_told_to_slow_down_nothing_at_all_is_sent_s40(void **state)
{
    struct rig *r = rig_open(state, "", "");
    const struct request *first;

    sandbox_fault(r->sandbox, "throttle=1&count=1&retry_after=2");
    rig_start_leading(r, 0);
    rig_push(r, "normal", "keys", "first", NULL);
    first = nth(r, 0);
    instance_await_said(&r->instances[0], "Fastly throttles this account",
                        1); /* it has read the answer */
    rig_push(r, "urgent", "keys", "urgent", NULL);
    rig_push(r, "bulk", "url", "example.com/1", NULL);
    rig_await_empty(r);
    nothing_is_sent_before(r, "urgent", 0, first->t_ms + 2000);
    nothing_is_sent_before(r, "example.com/1", 0, r->requests.at[0].t_ms + 2000);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(ten_thousand_jobs_against_a_throttling_api_are_all_purged_s1),
        rig_test(when_the_third_of_ten_batches_is_throttled_only_its_keys_are_sent_again_s2),
        rig_test(a_job_larger_than_the_budget_is_sent_in_parts_and_does_not_starve_s3),
        rig_test(restarts_within_the_window_refill_nothing_s5b),
        rig_test(five_429s_burn_no_attempt_s5e),
        rig_test(when_somebody_else_spends_too_all_is_purged_all_the_same_s5f),
        rig_test(status_tells_of_a_429_that_came_too_early),
        rig_test(retry_after_in_seconds_is_honoured_for_429_and_503_s40),
        rig_test(retry_after_as_a_date_is_honoured_for_429_and_503_s40),
        rig_test(while_told_to_slow_down_nothing_at_all_is_sent_s40),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
