/* SPDX-License-Identifier: MIT
 * The consumer with a source of the test's own and the fake Redis: what is committed, and when. */
#include "consumer_world.h"

/* -- tests -- */

static void each_message_becomes_a_job_in_its_order_and_is_then_committed(void **state)
{
    struct consumer_world *w = *state;

    queue.most_at_once = 2;
    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    consume(w);
    assert_jobs(w, "a b c ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(w->counts.jobs, 3);
    assert_int_equal(queue.opens, 1);
}

static void a_lost_connection_pushes_again_in_order_what_has_no_yes(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    fakeio_fail_next("XADD", FAKEIO_LOST_AFTER, NULL);
    consume(w);
    assert_jobs(w, "a a b ");
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.jobs, 2);
}

static unsigned third;

/* Executes nothing: the third command is refused. */
static void refuse_the_third(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (++third == 3)
        buf_printf(out, "-" OOM "\r\n");
    else
        buf_printf(out, "$3\r\n1-1\r\n");
}

static void a_refused_job_and_those_behind_it_are_pushed_again_and_those_before_it_not(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    add("{\"id\": \"d\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    store_do(&w->store, "XADD " LANE " * keys b");
    store_do(&w->store, "XADD " LANE " * keys c");
    store_do(&w->store, "XADD " LANE " * keys d");
    third = 0;
    fakeio_lie("XADD", refuse_the_third);
    consume(w);
    assert_int_equal(third, 6); /* a b c d, then c d */
    assert_int_equal(queue.committed, 4);
}

static void refuse_the_third_and_stop(size_t argc, const struct span *argv, struct buf *out)
{
    refuse_the_third(argc, argv, out);
    assert_int_equal(eventfd_write(queue.stop_fd, 1), 0);
}

static void when_stopped_while_redis_refuses_only_what_it_has_is_committed(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    store_do(&w->store, "XADD " LANE " * keys b");
    third = 0;
    fakeio_lie("XADD", refuse_the_third_and_stop);
    consume(w);
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.jobs, 2);
}

static void
a_message_that_cannot_be_understood_becomes_a_dead_letter_that_names_its_place(void **state)
{
    struct consumer_world *w = *state;
    const char *letters;

    add("{\"id\": \"a\"}");
    add("<xml/>");
    add("{\"id\": \"b\"}");
    consume(w);
    assert_jobs(w, "a b ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(w->counts.jobs, 2);
    assert_int_equal(w->counts.dead, 1);
    letters = store_ask(&w->store, "XRANGE " P "dead - +");
    assert_non_null(strstr(letters, "consumer articles, queue changes, partition 3, offset 1\r\n"));
    assert_non_null(strstr(letters, "not JSON: "));
    assert_non_null(strstr(letters, "<xml/>"));
}

static void a_key_that_is_none_becomes_a_dead_letter_with_the_reason(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a b\"}");
    add("{\"id\": \"b\"}");
    queue.bodies[0] = "{ \"id\": \"a b\"}"; /* not the form that has a job */
    consume(w);
    assert_jobs(w, "b ");
    assert_int_equal(queue.committed, 2);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "dead - +"), "keys[0]"));
}

static void a_job_larger_than_the_dispatcher_can_hold_becomes_a_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    add("{ \"id\": \"larger\"}");
    w->config.memory_max = 8 * 8;
    consume(w);
    assert_int_equal(w->counts.dead, 1);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "dead - +"), "memory_max"));
}

static void a_service_that_the_account_has_not_makes_a_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    set(SETTING_CONSUMER, w->consumer, "job", "json");
    add("{ \"keys\": \"x\", \"service\": \"S2\"}");
    add("{\"keys\": \"y\", \"lane\": \"bulk\"}");
    consume(w);
    assert_int_equal(w->counts.dead, 1);
    assert_int_equal(w->counts.jobs, 1);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", 1);
}

static void a_message_is_not_committed_before_redis_has_its_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    add("<xml/>");
    fakeio_fail_next("XADD", FAKEIO_REFUSED, OOM);
    consume(w);
    assert_int_equal(queue.committed, 1);
    assert_int_equal(w->counts.dead, 1);
    store_expect_number(&w->store, "XLEN " P "dead", 1);
}

static void a_message_with_nothing_to_purge_is_committed_without_a_job(void **state)
{
    struct consumer_world *w = *state;

    add("{\"ignore\": \"yes\", \"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    fakeio_fail_next("XADD", FAKEIO_LOST_BEFORE, NULL);
    consume(w);
    assert_jobs(w, "b ");
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.ignored, 1);
    store_expect_number(&w->store, "XLEN " P "dead", 0);
}

static void a_source_that_fails_is_opened_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_fetches = 1;
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.opens, 2);
}

static void what_the_source_could_not_commit_comes_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_commits = 1;
    consume(w);
    assert_jobs(w, "a a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(queue.opens, 2);
}

static void nothing_is_fetched_without_redis(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    fakeio_serve(NULL);
    assert_int_equal(eventfd_write(queue.stop_fd, 1), 0);
    consume(w);
    assert_int_equal(queue.fetches, 0);
    assert_int_equal(queue.opens, 0);
}

static unsigned refusals;

static void refuse_for_a_while(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (queue.opens == 1 && ++refusals)
        buf_printf(out, "-" OOM "\r\n");
    else
        buf_printf(out, "$3\r\n1-1\r\n");
}

static void messages_are_given_back_when_redis_refuses_their_jobs_for_long(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    refusals = 0;
    fakeio_lie("XADD", refuse_for_a_while);
    consume(w);
    assert_true(refusals >= 2);
    assert_int_equal(queue.opens, 2);
    assert_int_equal(queue.committed, 1);
}

static unsigned lengths;

/* The first three answers are those for a backlog of 6, all later ones for one of 7. After a while
 * somebody takes 4 jobs. */
static void length(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, ":%d\r\n", lengths < 3 ? 2 : lengths == 3 ? 8 : lengths < 6 ? 0 : 1);
    if (lengths >= 3 && lengths < 6)
        assert_int_equal(queue.committed, 2); /* full: nothing is fetched */
    lengths++;
}

static void no_more_is_fetched_than_the_backlog_may_hold(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    w->config.http.backlog_max = 8;
    lengths = 0;
    fakeio_lie("XLEN", length);
    consume(w);
    assert_jobs(w, "a b c ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(queue.largest_wish, 5);
    assert_int_equal(queue.opens, 2); /* closed while it was full */
    assert_true(lengths >= 9);
}

/* What is answered to the question whether the account is paused, in turn; the last one again and
 * again. */
static const char *pauses;
static unsigned pauses_asked, fetched_when_asked;

static void tell_pause(size_t argc, const struct span *argv, struct buf *out)
{
    assert_int_equal(argc, 3);
    assert_true(span_is(argv[1], P "control") && span_is(argv[2], "paused"));
    assert_int_equal(queue.committed, 0);
    buf_printf(out, "$1\r\n%c\r\n", *pauses);
    pauses_asked++;
    fetched_when_asked = queue.fetches;
    if (pauses[1])
        pauses++;
}

static void while_the_account_is_paused_messages_stay_in_the_queue(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    set(SETTING_CONSUMER, w->consumer, "while_paused", "stop");
    pauses = "110";
    pauses_asked = 0;
    fakeio_lie("HGET", tell_pause);
    consume(w);
    assert_int_equal(pauses_asked, 3);
    assert_int_equal(fetched_when_asked, 0);
    assert_int_equal(queue.opens, 1);
    assert_jobs(w, "a ");
    assert_int_equal(queue.committed, 1);
}

static void a_message_that_comes_after_the_pause_is_given_back(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    set(SETTING_CONSUMER, w->consumer, "while_paused", "stop");
    queue.group = true;
    queue.slow_ms = 1100;
    pauses = "0110";
    pauses_asked = 0;
    fakeio_lie("HGET", tell_pause);
    consume(w);
    assert_int_equal(pauses_asked, 4);
    assert_int_equal(queue.holds, 1);
    assert_jobs(w, "a ");
    assert_int_equal(queue.committed, 1);
}

static void by_default_a_pause_stops_no_consumer(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    store_do(&w->store, "HSET " P "control paused 1");
    pauses_asked = 0;
    fakeio_lie("HGET", tell_pause);
    consume(w);
    assert_int_equal(pauses_asked, 0);
    assert_jobs(w, "a ");
}

static unsigned waits;

static void replicas(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (waits++ == 0) {
        assert_int_equal(queue.committed, 0);
        buf_printf(out, ":0\r\n");
    } else {
        buf_printf(out, ":1\r\n");
    }
}

static void a_message_is_committed_when_the_replicas_have_its_job(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    w->address.replicas = 1;
    waits = 0;
    fakeio_lie("WAIT", replicas);
    consume(w);
    assert_jobs(w, "a a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(waits, 2);
}

static void it_tells_its_state_until_it_ends(void **state)
{
    struct consumer_world *w = *state;
    char told[TOLD_ROOM];

    queue.told = told;
    consume(w);
    assert_non_null(strstr(told, "articles/"));
    assert_non_null(strstr(told, "\"state\":\"running\""));
    assert_non_null(strstr(told, "\"source\":\"queue\""));
    assert_non_null(strstr(told, "\"topic\":\"changes\""));
    assert_non_null(strstr(told, "\"lag\":0"));
    assert_string_equal(store_ask(&w->store, "EXISTS " P "consumers"), ":0\r\n");
}

static void what_has_changed_is_told_while_the_source_waits(void **state)
{
    struct consumer_world *w = *state;
    char told[TOLD_ROOM];

    add("{\"id\": \"a\"}");
    queue.told = told;
    queue.waits = 1;
    consume(w);
    assert_int_equal(queue.waits, 0);
    assert_non_null(strstr(told, "\"fetched\":1"));
    assert_non_null(strstr(told, "\"jobs\":1"));
    assert_non_null(strstr(told, "\"committed_at\""));
}

static void a_source_that_does_not_tell_what_waits_is_opened_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_lags = 1;
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.opens, 2);
}

static void refuse_noperm(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, "-NOPERM no permissions to run the 'hset' command\r\n");
}

static void a_state_that_redis_refuses_stops_nothing(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    fakeio_lie("HSET", refuse_noperm);
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(queue.opens, 1);
}

static void a_mapping_that_cannot_be_compiled_is_refused(void **state)
{
    struct consumer_world *w = *state;
    const struct consumer_options o = {.config = &w->config,
                                       .consumer = w->consumer,
                                       .source = &source,
                                       .redis = &w->address,
                                       .stop_fd = queue.stop_fd};
    struct error err;

    set(SETTING_CONSUMER, w->consumer, "keys", "{id");
    assert_int_equal(consumer_run(&o, &w->counts, &err), -EINVAL);
    assert_non_null(strstr(err.text, "keys[0]"));
    assert_int_equal(queue.opens, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_message_becomes_a_job_in_its_order_and_is_then_committed),
        T(a_lost_connection_pushes_again_in_order_what_has_no_yes),
        T(a_refused_job_and_those_behind_it_are_pushed_again_and_those_before_it_not),
        T(when_stopped_while_redis_refuses_only_what_it_has_is_committed),
        T(a_message_that_cannot_be_understood_becomes_a_dead_letter_that_names_its_place),
        T(a_key_that_is_none_becomes_a_dead_letter_with_the_reason),
        T(a_job_larger_than_the_dispatcher_can_hold_becomes_a_dead_letter),
        T(a_service_that_the_account_has_not_makes_a_dead_letter),
        T(a_message_is_not_committed_before_redis_has_its_dead_letter),
        T(a_message_with_nothing_to_purge_is_committed_without_a_job),
        T(a_source_that_fails_is_opened_again),
        T(what_the_source_could_not_commit_comes_again),
        T(nothing_is_fetched_without_redis),
        T(messages_are_given_back_when_redis_refuses_their_jobs_for_long),
        T(no_more_is_fetched_than_the_backlog_may_hold),
        T(while_the_account_is_paused_messages_stay_in_the_queue),
        T(a_message_that_comes_after_the_pause_is_given_back),
        T(by_default_a_pause_stops_no_consumer),
        T(a_message_is_committed_when_the_replicas_have_its_job),
        T(it_tells_its_state_until_it_ends),
        T(what_has_changed_is_told_while_the_source_waits),
        T(a_source_that_does_not_tell_what_waits_is_opened_again),
        T(a_state_that_redis_refuses_stops_nothing),
        T(a_mapping_that_cannot_be_compiled_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
