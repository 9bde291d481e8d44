/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "shell.h"

/* A rig with a shell whose purgeline uses the rig's configuration. */
static struct shell the_shell;

static struct rig *open_all(void **state, const char *account)
{
    struct rig *r = rig_open(state, account, "");

    shell_open(&the_shell);
    setenv("PURGELINE_CONFIG", r->config, 1);
    return r;
}

static void close_all(struct rig *r)
{
    unsetenv("PURGELINE_CONFIG");
    shell_close(&the_shell);
    rig_close(r);
}

static void push_waits_until_the_job_is_purged(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "$P push --wait=20 article-17 home"), 0);
    shell_assert_out(&the_shell, " purged");
    shell_assert_err(&the_shell, "1 purged, 0 not, 0 open");
    assert_int_equal(requests_naming(&r->requests, "article-17", 200), 1);
    close_all(r);
}

static void thousands_of_receipts_are_awaited_at_once(void **state)
{
    struct rig *r = open_all(state, "");
    unsigned purged = 0;

    rig_start_leading(r, 0);
    assert_int_equal(
        shell_run(&the_shell, "seq 3000 | sed 's/^/k/' | $P push --wait=60 --json -f -"), 0);
    for (const char *at = the_shell.out; (at = strstr(at, "\"state\":\"purged\"")); at++)
        purged++;
    assert_int_equal(purged, 3000);
    close_all(r);
}

/* Each write ends an early and a late job, so most of 40 entries of the history may have a receipt,
 * and a script does not look at so many in one go. */
static void a_receipt_is_found_among_many_entries_of_the_history(void **state)
{
    struct rig *r = open_all(state, "    receipts_in: history\n    max_in_flight: 1\n");
    unsigned purged = 0;

    rig_start_leading(r, 0);
    assert_int_equal(
        shell_run(
            &the_shell,
            "$P pause so that all wait && for round in 1 2; do seq -f "
            "https://www.example.com/%%g 40; done >urls && { $P push --wait=60 --json -f urls & "
            "until [ \"$(redis-cli -p %u XLEN 'purgeline:{main}:jobs:normal')\" = 80 ]; do :; "
            "done; $P resume; wait; }",
            redis_server_port(r->redis)),
        0);
    for (const char *at = the_shell.out; (at = strstr(at, "\"state\":\"purged\",\"at\"")); at++)
        purged++;
    assert_int_equal(purged, 80);
    close_all(r);
}

static void a_receipt_is_shown_without_what_it_keeps_for_the_endpoint(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "$P push --wait=20 --json --ref order-7 home"), 0);
    shell_assert_out(&the_shell, "\"ref\":\"order-7\"");
    assert_null(strstr(the_shell.out, "scope"));
    close_all(r);
}

static void a_job_that_is_already_over_is_not_waited_for_in_vain(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    /* The first lines must be acknowledged before the last one is written. */
    assert_int_equal(
        shell_run(&the_shell,
                  "{ seq 600 | sed 's/^/k/'; until [ \"$(redis-cli -p %u XLEN "
                  "'purgeline:{main}:jobs:normal')\" -lt 300 ]; do :; done; echo last; } "
                  "| $P push --wait=60 -q -f -",
                  redis_server_port(r->redis)),
        0);
    close_all(r);
}

static void a_dead_job_makes_waiting_fail_with_its_reason(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    sandbox_fault(r->sandbox, "poison=bad-key");
    assert_int_equal(shell_run(&the_shell, "printf '%%s\\n' a bad-key b | $P push --wait=30 -f -"),
                     1);
    shell_assert_out(&the_shell, " dead: ");
    shell_assert_err(&the_shell, "2 purged, 1 not, 0 open");
    assert_int_equal(shell_run(&the_shell, "$P dead list"), 0);
    shell_assert_out(&the_shell, "bad-key");
    sandbox_fault(r->sandbox, "poison=");
    assert_int_equal(shell_run(&the_shell, "$P dead retry --all"), 0);
    rig_await_empty(r);
    assert_int_equal(requests_naming(&r->requests, "bad-key", 200), 1);
    close_all(r);
}

static void waiting_ends_at_its_time_and_the_jobs_stay(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "$P pause"), 0);
    instance_await_said(&r->instances[0], "paused", 1);
    assert_int_equal(shell_run(&the_shell, "$P push --wait=300ms a"), 4);
    shell_assert_err(&the_shell, "not all ended in time");
    assert_int_equal(shell_run(&the_shell, "$P status"), 1);
    assert_int_equal(shell_run(&the_shell, "$P resume"), 0);
    rig_await_empty(r);
    assert_int_equal(shell_run(&the_shell, "$P status"), 0);
    close_all(r);
}

static void waiting_outlives_a_redis_that_dies_and_comes_back(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "$P pause"), 0);
    instance_await_said(&r->instances[0], "paused", 1);
    assert_int_equal(
        shell_run(&the_shell, "$P push --wait=60 a > $D/out 2> $D/err & echo $! > $D/pid"), 0);
    /* It waits as soon as it has subscribed. */
    rig_await(r, redis_server_int(r->redis, "EVAL %s 0",
                                  "return redis.call('PUBSUB','NUMSUB',"
                                  "'purgeline:{main}:settled')[2]") == 1);
    redis_server_kill(r->redis);
    redis_server_restart(r->redis);
    rig_await(r, shell_run(&the_shell, "$P resume") == 0);
    rig_await(r, shell_run(&the_shell, "grep -q purged $D/out") == 0);
    rig_await(r, shell_run(&the_shell, "! kill -0 $(cat $D/pid) 2>/dev/null") == 0);
    shell_run(&the_shell, "cat $D/err");
    shell_assert_out(&the_shell, "1 purged, 0 not, 0 open");
    close_all(r);
}

static void a_push_of_urls_with_options_reaches_the_api(void **state)
{
    struct rig *r = open_all(state, "");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "$P push --wait=20 --soft --lane urgent "
                                           "https://www.example.com/a?b=%%20c"),
                     0);
    assert_true(requests_find(&r->requests, "https://www.example.com/a?b=%20c", 0)->soft);
    close_all(r);
}

/* -- check with an API -- */

static void check_is_content_with_a_good_token_and_its_services(void **state)
{
    struct rig *r = open_all(state, "    allow_purge_all: true\n");

    assert_int_equal(shell_run(&the_shell, "$P check"), 0);
    shell_assert_out(&the_shell, "ok    main token: the token may purge");
    shell_assert_out(&the_shell, "ok    main service: service " NEWS " is there");
    assert_null(strstr(the_shell.out, sandbox_token(r->sandbox)));
    assert_null(strstr(the_shell.out, "fail"));
    close_all(r);
}

static void check_tells_a_bad_token_from_a_missing_one_and_shows_neither(void **state)
{
    struct rig *r = open_all(state, "");

    assert_int_equal(shell_run(&the_shell, "FASTLY_API_TOKEN=wrong-secret $P check"), 1);
    shell_assert_out(&the_shell, "Fastly refuses the token: status 401");
    assert_null(strstr(the_shell.out, "wrong-secret"));
    assert_int_equal(shell_run(&the_shell, "env -u FASTLY_API_TOKEN $P check"), 1);
    shell_assert_out(&the_shell, "no token: set $FASTLY_API_TOKEN or token_file");
    assert_int_equal(shell_run(&the_shell, "FASTLY_API_TOKEN='two words' $P check"), 1);
    assert_null(strstr(the_shell.out, "two words"));
    close_all(r);
}

static void check_finds_a_service_that_does_not_exist(void **state)
{
    struct rig *r = open_all(state, "");

    assert_int_equal(shell_run(&the_shell,
                               "sed 's/" SHOP "/nosuchservice/' $PURGELINE_CONFIG > $D/c\n"
                               "$P check --config $D/c"),
                     1);
    shell_assert_out(&the_shell,
                     "fail  main service: service nosuchservice: status 404: Record not "
                     "found: Cannot find");
    close_all(r);
}

static void check_does_not_trust_a_certificate_that_nobody_vouches_for(void **state)
{
    struct rig *r = open_all(state, "");

    assert_int_equal(shell_run(&the_shell, "sed '/ca_file/d' $PURGELINE_CONFIG > $D/c\n"
                                           "$P check --config $D/c"),
                     1);
    shell_assert_out(&the_shell, "certificate");
    close_all(r);
}

static int teardown(void **state)
{
    unsetenv("PURGELINE_CONFIG");
    return rig_teardown(state);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

static size_t begun_since(struct requests *q, uint64_t ms)
{
    size_t n = 0;

    requests_read(q);
    for (size_t i = 0; i < q->count; i++)
        n += q->at[i].begin_ms > ms;
    return n;
}

/* If a pause returned before it is in effect, purges would be sent after it. */
static void nothing_is_sent_after_a_pause_has_returned(void **state)
{
    /* Slow enough that jobs remain to be sent. */
    struct rig *r = open_all(state, "    budget: {purges: 40, per_s: 1, burst: 1}\n");

    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&the_shell, "seq 2000 | sed 's|^|http://www.example.com/|' | "
                                           "$P push -q -"),
                     0);
    for (int i = 0; i < 3; i++) {
        uint64_t ms = clock_wall_ms();
        long long renewals;

        rig_await(r, begun_since(&r->requests, ms) > 0);
        assert_int_equal(shell_run(&the_shell, "$P pause"), 0);
        ms = clock_wall_ms();
        renewals = rig_status(r, "renewals");
        rig_await(r, rig_status(r, "renewals") >= renewals + 2);
        assert_int_equal(begun_since(&r->requests, ms), 0);
        assert_false(rig_is_empty(r));
        assert_int_equal(shell_run(&the_shell, "$P resume"), 0);
    }
    close_all(r);
}

static void a_pause_says_what_is_still_on_the_wire(void **state)
{
    struct rig *r = open_all(state, "    timeout_ms: 60000\n");

    rig_start_leading(r, 0);
    sandbox_fault(r->sandbox, "hang=1&count=1");
    assert_int_equal(shell_run(&the_shell, "$P push -q a"), 0);
    rig_await(r, rig_status(r, "in_flight") == 1);
    assert_int_equal(shell_run(&the_shell, "$P pause"), 4);
    shell_assert_err(&the_shell, "(1 requests on the wire)");
    instance_kill(&r->instances[0]);
    rig_await(r, redis_server_int(r->redis, "EXISTS purgeline:{main}:lease") == 0);
    assert_int_equal(shell_run(&the_shell, "$P pause"), 0);
    shell_assert_out(&the_shell, "it has no leader");
    close_all(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(push_waits_until_the_job_is_purged),
        T(thousands_of_receipts_are_awaited_at_once),
        T(a_receipt_is_found_among_many_entries_of_the_history),
        T(a_receipt_is_shown_without_what_it_keeps_for_the_endpoint),
        T(a_job_that_is_already_over_is_not_waited_for_in_vain),
        T(a_dead_job_makes_waiting_fail_with_its_reason),
        T(waiting_ends_at_its_time_and_the_jobs_stay),
        T(nothing_is_sent_after_a_pause_has_returned),
        T(a_pause_says_what_is_still_on_the_wire),
        T(waiting_outlives_a_redis_that_dies_and_comes_back),
        T(a_push_of_urls_with_options_reaches_the_api),
        T(check_is_content_with_a_good_token_and_its_services),
        T(check_tells_a_bad_token_from_a_missing_one_and_shows_neither),
        T(check_finds_a_service_that_does_not_exist),
        T(check_does_not_trust_a_certificate_that_nobody_vouches_for),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
