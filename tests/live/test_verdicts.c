/* SPDX-License-Identifier: MIT
 * The reaction to an answer: each status, limits, invalid keys, keys missing in the reply. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"

#define LINGER "    lanes: {normal: {linger_ms: 500}}\n"

static char *key_name(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof(name), "k%u", i);
    return name;
}

/* S14: another client checks that the reply contains every key:
 * https://github.com/fastly/cli/blob/main/pkg/commands/service/purge/purge.go */
static void keys_that_the_reply_leaves_out_are_sent_again_and_only_they_s14(void **state)
{
    struct rig *r = rig_open(state, LINGER, "");

    sandbox_fault(r->sandbox, "omit_keys=3&count=1");
    rig_push_keys(r, "normal", "k", 0, 256);
    rig_start(r, 0);
    rig_await_empty(r);
    rig_await(r, requests_with_status(&r->requests, 200) == 2);
    assert_int_equal(r->requests.at[0].n, 256);
    assert_int_equal(r->requests.at[1].n, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(request_names(&r->requests.at[0], r->requests.at[1].keys[i]));
    assert_int_equal(rig_receipts(r, "purged"), 256);
    rig_close(r);
}

/* S20: in another project, a request with 257 keys was refused:
 * https://github.com/fastly/fastly-magento2/issues/104 */
static void two_hundred_and_fifty_seven_keys_are_two_requests_s20(void **state)
{
    struct rig *r = rig_open(state, LINGER, "");

    rig_push_keys(r, "normal", "k", 0, 257);
    rig_start(r, 0);
    rig_await_empty(r);
    rig_await(r, requests_with_status(&r->requests, 200) == 2);
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 2);
    assert_int_equal(r->requests.at[0].n, 256);
    assert_int_equal(r->requests.at[1].n, 1);
    rig_close(r);
}

/* S20: a provider lowered its limit, and a plugin failed silently:
 * https://github.com/cloudflare/Cloudflare-WordPress/issues/268 */
static void a_lower_limit_is_learned_from_its_first_refusal_s20(void **state)
{
    struct rig *r = rig_open(state, LINGER "    max_in_flight: 1\n", "");

    rig_start_leading(r, 0);
    rig_push_keys(r, "normal", "before-", 0, 256);
    rig_await_empty(r);
    sandbox_fault(r->sandbox, "key_limit=128");
    rig_push_keys(r, "normal", "k", 0, 1024);
    rig_await_empty(r);
    rig_await(r, requests_with_status(&r->requests, 200) == 1 + 8);
    assert_int_equal(requests_with_status(&r->requests, 400), 1);
    assert_int_equal(rig_receipts(r, "purged"), 256 + 1024);
    rig_close(r);
}

/* S21: a command-line tool sent all lines of a file in one header:
 * https://github.com/fastly/go-fastly (PurgeKeys) */
static void a_batch_never_has_a_header_above_16384_bytes_s21(void **state)
{
    struct rig *r = rig_open(state, LINGER, "");

    for (unsigned i = 0; i < 100; i++) {
        char key[1001];

        snprintf(key, sizeof(key), "%u-%0990u", i, i);
        rig_push(r, "normal", "keys", key, NULL);
    }
    rig_start(r, 0);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 100);
    rig_await(r, requests_with_status(&r->requests, 200) >= 7);
    assert_int_equal(requests_with_status(&r->requests, 400), 0);
    for (size_t i = 0; i < r->requests.count; i++) {
        size_t bytes = 0;

        for (unsigned k = 0; k < r->requests.at[i].n; k++)
            bytes += strlen(r->requests.at[i].keys[k]) + 1;
        assert_in_range(bytes - 1, 1, 16384);
    }
    rig_close(r);
}

/* S21: the maximum length of a key:
 * https://www.fastly.com/documentation/reference/http/http-headers/Surrogate-Key/ */
static void a_key_of_1024_bytes_is_purged_and_one_of_1025_is_a_dead_letter_s21(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job good, bad;
    char key[1026], *reason;

    memset(key, 'x', 1025);
    key[1025] = '\0';
    rig_start_leading(r, 0);
    bad = rig_push(r, "normal", "keys", key, NULL);
    key[1024] = '\0';
    good = rig_push(r, "normal", "keys", key, NULL);
    rig_await_ended(r, &good, "purged");
    rig_await_ended(r, &bad, "dead");
    reason = rig_dead(r, 0, "dead_reason");
    assert_non_null(strstr(reason, "keys:"));
    free(reason);
    rig_await(r, requests_naming(&r->requests, key, 200) == 1);
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 1);
    rig_close(r);
}

/* S26: in another program, a 404 counted as a failure until somebody noticed it:
 * https://github.com/wikimedia/operations-software-varnish-vhtcpd
 * There is one test for each class of status. */

static void these_are_tried_again(void **state, const char *const *statuses)
{
    struct rig *r = rig_open(state, "    attempts: 2\n", "");

    rig_start_leading(r, 0);
    for (; *statuses; statuses++) {
        struct job j;

        sandbox_fault(r->sandbox, "status=%s&count=1", *statuses);
        j = rig_push(r, "normal", "keys", *statuses, NULL);
        rig_await_ended(r, &j, "purged");
        rig_await(r, requests_naming(&r->requests, *statuses, ANY_STATUS) == 2);
        assert_int_equal(requests_find(&r->requests, *statuses, 0)->status, atoi(*statuses));
        assert_int_equal(requests_find(&r->requests, *statuses, 1)->status, 200);
    }
    rig_close(r);
}

static void a_2xx_that_says_what_was_purged_is_purged_s26(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job jobs[2];

    rig_start_leading(r, 0);
    for (int i = 0; i < 2; i++) {
        sandbox_fault(r->sandbox, "status=20%d&count=1&body={\"k\":\"7-7\"}", i);
        jobs[i] = rig_push(r, "normal", "keys", "k", NULL);
        rig_await_ended(r, &jobs[i], "purged");
    }
    rig_await(r, requests_naming(&r->requests, "k", ANY_STATUS) == 2);
    rig_close(r);
}

static void a_2xx_that_does_not_say_so_is_tried_again_s26(void **state)
{
    these_are_tried_again(state, (const char *const[]){"200", "204", "202", NULL});
}

static void the_5xx_are_tried_again_s26(void **state)
{
    these_are_tried_again(state, (const char *const[]){"500", "502", "503", "504", "599", NULL});
}

static void the_4xx_that_mean_not_now_are_tried_again_s26(void **state)
{
    these_are_tried_again(state, (const char *const[]){"408", "409", "425", NULL});
}

static void a_3xx_is_never_followed_but_tried_again_s26(void **state)
{
    these_are_tried_again(state, (const char *const[]){"301", "307", NULL});
}

static void a_400_of_one_key_alone_is_a_dead_letter_at_once_s26(void **state)
{
    static const char *const statuses[] = {"400", "413", "414", "431"};
    struct rig *r = rig_open(state, "", "");

    rig_start_leading(r, 0);
    for (size_t i = 0; i < array_len(statuses); i++) {
        struct job j;
        char *target, *reason;

        sandbox_fault(r->sandbox, "status=%s&count=1", statuses[i]);
        j = rig_push(r, "normal", "keys", statuses[i], NULL);
        rig_await_ended(r, &j, "dead");
        rig_await(r, requests_naming(&r->requests, statuses[i], ANY_STATUS) == 1);
        target = rig_dead(r, i, "dead_target");
        reason = rig_dead(r, i, "dead_reason");
        assert_string_equal(target, statuses[i]);
        assert_non_null(strstr(reason, statuses[i]));
        free(target);
        free(reason);
    }
    rig_close(r);
}

static void a_404_of_a_url_is_a_dead_letter_and_no_other_waits_for_it_s26(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job gone, next;

    sandbox_fault(r->sandbox, "status=404&count=1&kind=url");
    rig_start_leading(r, 0);
    gone = rig_push(r, "normal", "url", "example.com/gone", NULL);
    rig_await_ended(r, &gone, "dead");
    next = rig_push(r, "normal", "url", "example.com/next", NULL);
    rig_await_ended(r, &next, "purged");
    rig_close(r);
}

static void a_status_that_never_ends_is_a_dead_letter_after_all_attempts_s26(void **state)
{
    struct rig *r = rig_open(state, "    attempts: 3\n", "");
    struct job j;
    char *reason;

    sandbox_fault(r->sandbox, "status=503");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "dead");
    rig_await(r, requests_naming(&r->requests, "k", 503) == 3);
    reason = rig_dead(r, 0, "dead_reason");
    assert_non_null(strstr(reason, "503"));
    free(reason);
    rig_close(r);
}

/* -- waiting and in flight -------------------------------------------------------------------- */

/* S27: in another queue, an event that arrived while its job was running was lost:
 * https://github.com/taskforcesh/bullmq/issues/3427 */
static void a_key_pushed_while_it_is_on_the_wire_is_sent_exactly_once_more_s27(void **state)
{
    struct rig *r = rig_open(state, "    lanes: {normal: {linger_ms: 300}}\n", "");
    struct job first, again[3];

    sandbox_fault(r->sandbox, "latency_ms=1000&count=1");
    rig_start_leading(r, 0);
    first = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, sandbox_faults_used_up(r->sandbox));
    for (int i = 0; i < 3; i++)
        again[i] = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &first, "purged");
    for (int i = 0; i < 3; i++)
        rig_await_ended(r, &again[i], "purged");
    rig_stop(r, 0);
    rig_await(r, requests_naming(&r->requests, "k", 200) == 2);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 2);
    /* The second request was answered before the first, whose answer was slow. */
    assert_in_range(requests_find(&r->requests, "k", 0)->begin_ms, again[2].ms,
                    requests_find(&r->requests, "k", 1)->done_ms);
    rig_close(r);
}

/* S31: in another queue, the remains of a deleted job blocked new jobs of its kind:
 * https://github.com/hibiken/asynq/issues/275 */
static void a_target_that_was_given_up_on_is_sent_when_it_is_pushed_again_s31(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job dead, next;

    sandbox_fault(r->sandbox, "status=400&count=1");
    rig_start_leading(r, 0);
    dead = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &dead, "dead");
    next = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &next, "purged");
    rig_close(r);
}

/* S35: in another project, one bad item was sent again for ever and blocked the queue:
 * https://github.com/forem/forem/issues/3938 */
static void a_poisonous_key_among_256_is_found_and_its_neighbours_are_purged_once_s35(void **state)
{
    struct rig *r = rig_open(state, LINGER, "");
    char *target;

    sandbox_fault(r->sandbox, "poison=k77");
    rig_push_keys(r, "normal", "k", 0, 256);
    rig_start(r, 0);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 255);
    assert_int_equal(rig_dead_count(r), 1);
    target = rig_dead(r, 0, "dead_target");
    assert_string_equal(target, "k77");
    free(target);
    rig_stop(r, 0);
    for (unsigned i = 0; i < 256; i++)
        rig_await(r, requests_naming(&r->requests, key_name(i), 200) == (i != 77));
    assert_in_range(requests_with_status(&r->requests, ANY_STATUS), 2, 1 + 17);
    rig_close(r);
}

/* S36: in another program, one slow connection delayed all purges:
 * https://phabricator.wikimedia.org/T241232 */
static void a_black_hole_stops_nobody_else_and_is_left_after_its_time_s36(void **state)
{
    struct rig *r = rig_open(state, "    timeout_ms: 2000\n", "");
    const struct request *second;
    struct job stuck, other;

    sandbox_fault(r->sandbox, "hang=1&count=1");
    rig_start_leading(r, 0);
    stuck = rig_push(r, "normal", "keys", "stuck", NULL);
    rig_await(r, requests_naming(&r->requests, "stuck", 0) == 1);
    for (int i = 0; i < 20; i++) {
        other = rig_push(r, "normal", "keys", key_name((unsigned)i), NULL);
        rig_await_ended(r, &other, "purged");
    }
    assert_int_equal(requests_naming(&r->requests, "stuck", ANY_STATUS), 1);
    rig_await_ended(r, &stuck, "purged");
    rig_await(r, requests_naming(&r->requests, "stuck", 200) == 1);
    second = requests_find(&r->requests, "stuck", 1);
    assert_true(second->begin_ms >= requests_find(&r->requests, "stuck", 0)->begin_ms + 1900);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(keys_that_the_reply_leaves_out_are_sent_again_and_only_they_s14),
        rig_test(two_hundred_and_fifty_seven_keys_are_two_requests_s20),
        rig_test(a_lower_limit_is_learned_from_its_first_refusal_s20),
        rig_test(a_batch_never_has_a_header_above_16384_bytes_s21),
        rig_test(a_key_of_1024_bytes_is_purged_and_one_of_1025_is_a_dead_letter_s21),
        rig_test(a_2xx_that_says_what_was_purged_is_purged_s26),
        rig_test(a_2xx_that_does_not_say_so_is_tried_again_s26),
        rig_test(the_5xx_are_tried_again_s26),
        rig_test(the_4xx_that_mean_not_now_are_tried_again_s26),
        rig_test(a_3xx_is_never_followed_but_tried_again_s26),
        rig_test(a_400_of_one_key_alone_is_a_dead_letter_at_once_s26),
        rig_test(a_404_of_a_url_is_a_dead_letter_and_no_other_waits_for_it_s26),
        rig_test(a_status_that_never_ends_is_a_dead_letter_after_all_attempts_s26),
        rig_test(a_key_pushed_while_it_is_on_the_wire_is_sent_exactly_once_more_s27),
        rig_test(a_target_that_was_given_up_on_is_sent_when_it_is_pushed_again_s31),
        rig_test(a_poisonous_key_among_256_is_found_and_its_neighbours_are_purged_once_s35),
        rig_test(a_black_hole_stops_nobody_else_and_is_left_after_its_time_s36),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
