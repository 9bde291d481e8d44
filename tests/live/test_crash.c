/* SPDX-License-Identifier: MIT
 * All ways to end: killed between two steps, SIGTERM, a second SIGTERM, Redis gone. */
#include "rig.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"

/* Returns when all jobs that were pushed before have been sent. */
static void flush_through(struct rig *r)
{
    struct job last = rig_push(r, "normal", "keys", "the-last-one", NULL);

    rig_await_ended(r, &last, "purged");
    rig_await_empty(r);
}

/* S22, also for the following tests: other programs removed a purge from the queue before sending
 * it, so a crash lost it. https://github.com/sidekiq/sidekiq/wiki/Reliability */
static void killed_after_taking_a_job_it_is_sent_after_the_restart_s22(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "    lanes: {normal: {linger_ms: 60000}}\n", "");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, rig_status(r, "in_hand_normal") == 1);
    instance_kill(&r->instances[0]);
    rig_configure(r, "", "");
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    flush_through(r);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 1);
    rig_close(r);
}

static void killed_while_the_request_is_on_the_wire_it_is_sent_once_more_s22(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    sandbox_fault(r->sandbox, "hang=1&count=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, requests_naming(&r->requests, "k", 0) == 1);
    instance_kill(&r->instances[0]);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    flush_through(r);
    assert_int_equal(requests_naming(&r->requests, "k", 200), 1);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 2);
    rig_close(r);
}

static void killed_between_reply_and_acknowledgement_it_is_sent_once_more_s22(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    sandbox_fault(r->sandbox, "latency_ms=700&count=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, sandbox_faults_used_up(r->sandbox));
    redis_server_do(r->redis,
                    "CLIENT PAUSE 60000 WRITE"); /* the reply arrives but cannot be recorded */
    rig_await(r, requests_naming(&r->requests, "k", 200) == 1);
    instance_kill(&r->instances[0]);
    redis_server_do(r->redis, "CLIENT UNPAUSE");
    assert_int_equal(redis_server_int(r->redis, "EXISTS purgeline:{main}:receipt:%s", j.id), 0);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    flush_through(r);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 2);
    rig_close(r);
}

static void killed_after_the_acknowledgement_nothing_is_sent_again_s22(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    instance_kill(&r->instances[0]);
    rig_start(r, 0);
    flush_through(r);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 1);
    rig_close(r);
}

/* -- SIGTERM ----------------------------------------------------------------------------------- */

static void push_urls(struct rig *r, unsigned count)
{
    static const char script[] = "for i = 1, ARGV[1] do "
                                 "redis.call('XADD', KEYS[1], '*', 'url', 'example.com/' .. i) end";

    redis_server_do(r->redis, "EVAL %s 1 purgeline:{main}:jobs:bulk %u", script, count);
}

/* S23: when another purger was stopped, one batch was finished and success was logged, but the
 * other batches were lost: https://github.com/letsencrypt/boulder (cmd/akamai-purger) */
static void sigterm_finishes_what_is_on_the_wire_and_keeps_the_rest_s23(void **state)
{
    uint64_t asked_ns;
    struct rig *r;

    r = rig_open(state, "    max_in_flight: 500\n    budget: {purges: 1000000, burst: 500000}\n",
                 "shutdown_grace_s: 60\n");
    sandbox_fault(r->sandbox, "latency_ms=2500");
    push_urls(r, 100000);
    rig_start_leading(r, 0);
    rig_await(r, rig_status(r, "in_flight") == 500 - 500 / 16); /* a few are for urgent ones */
    asked_ns = clock_mono_ns();
    rig_stop(r, 0);
    assert_true(clock_mono_ns() - asked_ns < 60 * NS_PER_S);
    assert_int_equal(redis_server_int(r->redis, "EXISTS purgeline:{main}:lease"), 0);
    assert_int_equal(rig_receipts(r, "purged") +
                         (size_t)redis_server_int(r->redis, "XLEN purgeline:{main}:jobs:bulk"),
                     100000);
    assert_true(rig_receipts(r, "purged") >= 500 - 500 / 16);
    rig_await(r, requests_with_status(&r->requests, 200) == rig_receipts(r, "purged"));
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), rig_receipts(r, "purged"));
    rig_close(r);
}

static bool ends_when_asked_again(struct instance *i)
{
    instance_signal(i, SIGTERM);
    return instance_has_ended(i);
}

static void a_second_sigterm_ends_it_at_once_without_loss(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    sandbox_fault(r->sandbox, "hang=1&count=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, requests_naming(&r->requests, "k", 0) == 1);
    instance_signal(&r->instances[0], SIGTERM);
    instance_await_said(&r->instances[0], "Stopping", 1);
    /* A second SIGTERM right after the first is ignored. */
    await_until(-1, 2000, ends_when_asked_again(&r->instances[0]));
    assert_int_equal(r->instances[0].code, 1);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

static void what_outlasts_the_grace_is_sent_after_the_next_start(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "shutdown_grace_s: 1\n");
    sandbox_fault(r->sandbox, "hang=1&count=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, requests_naming(&r->requests, "k", 0) == 1);
    rig_stop(r, 0);
    assert_int_equal(redis_server_int(r->redis, "XLEN purgeline:{main}:jobs:normal"), 1);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

/* -- Redis ----------------------------------------------------------------------------------- */

/* S24: in another queue, a failover of Redis lost written data:
 * https://github.com/sidekiq/sidekiq/issues/3811 Here, Fastly's answer arrives while Redis is down.
 */
static void an_answer_that_comes_while_redis_is_away_is_written_when_it_is_back_s24(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    sandbox_fault(r->sandbox, "latency_ms=500&count=1");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await(r, sandbox_faults_used_up(r->sandbox));
    redis_server_kill(r->redis);
    rig_await(r, requests_naming(&r->requests, "k", 200) == 1);
    redis_server_restart(r->redis);
    rig_await_ended(r, &j, "purged");
    flush_through(r);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 1);
    assert_int_equal(instance_said(&r->instances[0], "Redis is away"), 1);
    rig_close(r);
}

static void redis_being_away_is_said_once_and_not_every_second(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    rig_start_leading(r, 0);
    redis_server_kill(r->redis);
    instance_await_said(&r->instances[0], "Redis is away", 1);
    /* Nothing else happens for this time. */
    await_until(-1, 10000, clock_mono_ns() % (3 * NS_PER_S) < 20 * NS_PER_MS);
    redis_server_restart(r->redis);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    assert_int_equal(instance_said(&r->instances[0], "Redis is away"), 1);
    rig_close(r);
}

/* S24: in another queue, Redis evicted the queue's keys:
 * https://github.com/taskforcesh/bullmq/issues/1046 */
static void a_redis_that_evicts_is_waited_for_until_it_no_longer_does_s24(void **state)
{
    struct rig *r;
    struct job j;

    r = rig_open(state, "", "");
    redis_server_do(r->redis, "CONFIG SET maxmemory-policy allkeys-lru");
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_start(r, 0);
    instance_await_said(&r->instances[0], "maxmemory-policy noeviction", 1);
    redis_server_do(r->redis, "CONFIG SET maxmemory-policy noeviction");
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

/* S24: in another queue, Redis ran out of memory: https://github.com/sidekiq/sidekiq/issues/5558 */
static void a_full_redis_refuses_pushes_but_what_it_has_is_purged_s24(void **state)
{
    const char *push[] = {"push", "--config", NULL, "one-more", NULL};
    struct instance said = {0};
    struct rig *r;

    r = rig_open(state, "", "");
    push[2] = r->config;
    said.log = alloc_printf("%s/push.log", r->folder);
    rig_push_keys(r, "normal", "k", 0, 1000);
    redis_server_do(r->redis, "CONFIG SET maxmemory 1");
    rig_start(r, 0);
    assert_int_equal(instance_command(push, NULL, said.log), 1);
    if (!instance_said(&said, "memory"))
        instance_show(&said);
    assert_true(instance_said(&said, "memory") > 0);
    rig_await_empty(r);
    redis_server_do(r->redis, "CONFIG SET maxmemory 0");
    assert_int_equal(instance_command(push, NULL, said.log), 0);
    rig_await_empty(r);
    rig_await(r, requests_naming(&r->requests, "one-more", 200) == 1);
    instance_deinit(&said);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(killed_after_taking_a_job_it_is_sent_after_the_restart_s22),
        rig_test(killed_while_the_request_is_on_the_wire_it_is_sent_once_more_s22),
        rig_test(killed_between_reply_and_acknowledgement_it_is_sent_once_more_s22),
        rig_test(killed_after_the_acknowledgement_nothing_is_sent_again_s22),
        rig_test(sigterm_finishes_what_is_on_the_wire_and_keeps_the_rest_s23),
        rig_test(a_second_sigterm_ends_it_at_once_without_loss),
        rig_test(what_outlasts_the_grace_is_sent_after_the_next_start),
        rig_test(an_answer_that_comes_while_redis_is_away_is_written_when_it_is_back_s24),
        rig_test(redis_being_away_is_said_once_and_not_every_second),
        rig_test(a_redis_that_evicts_is_waited_for_until_it_no_longer_does_s24),
        rig_test(a_full_redis_refuses_pushes_but_what_it_has_is_purged_s24),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
