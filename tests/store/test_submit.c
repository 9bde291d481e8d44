/* SPDX-License-Identifier: MIT
 * A client gets a confirmation only if Redis has stored the job. A job with an idempotency key is
 * created only once, whatever happens to the connection. */
#include "store_world.h"

#include "reply.h"
#include "submit.h"

#define SPANS_MANY 80 /* too many for a script */

struct submit_world {
    struct store_world store;
    struct config_account account;
    struct submit *submit;
    unsigned ups, tries, answers;
    unsigned ups_before; /* the first attempts were over */
    bool closed;
    enum submit_outcome outcome;
    char job[64], why[200];
};

static void on_up(void *ctx)
{
    struct submit_world *w = ctx;

    w->ups++;
    loop_stop(w->store.loop);
}

static void on_tried(void *ctx)
{
    struct submit_world *w = ctx;

    w->tries++;
    w->ups_before = w->ups;
    loop_stop(w->store.loop);
}

static void open_submit(void **state, const struct redis_address *address)
{
    struct submit_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->submit = submit_new(w->store.loop, address, on_up, on_tried, w);
    store_until(&w->store, w->ups == 1);
    *state = w;
}

static int set_up(void **state)
{
    open_submit(state, NULL);
    return 0;
}

static int set_up_with_replicas(void **state)
{
    const struct redis_address address = {.replicas = 2};

    open_submit(state, &address);
    return 0;
}

static void on_closed(void *ctx)
{
    struct submit_world *w = ctx;

    w->closed = true;
    loop_stop(w->store.loop);
}

static int tear_down(void **state)
{
    struct submit_world *w = *state;

    submit_close(w->submit, on_closed, w);
    store_until(&w->store, w->closed);
    store_close(&w->store);
    free(w);
    return 0;
}

static void on_put(void *ctx, const struct submit_result *r)
{
    struct submit_world *w = ctx;

    w->answers++;
    w->outcome = r->outcome;
    snprintf(w->job, sizeof(w->job), "%s", r->job ? r->job : "");
    snprintf(w->why, sizeof(w->why), "%s", r->why ? r->why : "");
    loop_stop(w->store.loop);
}

/* Submits a job of `fields` fields. `key` is the idempotency key or NULL; `same` is the digest of
 * the request. */
static enum submit_outcome put(struct submit_world *w, size_t fields, const char *key,
                               const char *same)
{
    struct span spans[SPANS_MANY];
    struct submit_once once = {span_str(key), span_str(same)};
    unsigned answers = w->answers;

    for (size_t i = 0; i < fields; i += 2) {
        spans[i] = SPAN("url");
        spans[i + 1] = SPAN("example.com/a");
    }
    store_until(&w->store, submit_is_up(w->submit, NULL));
    submit_put(w->submit, &w->account, LANE_NORMAL, spans, fields, key ? &once : NULL, on_put, w);
    assert_int_equal(w->answers, answers);
    store_until(&w->store, w->answers == answers + 1);
    assert_int_equal(submit_pending(w->submit), 0);
    return w->outcome;
}

static void expect_jobs(struct submit_world *w, unsigned n)
{
    store_expect_number(&w->store, "XLEN " P "jobs:normal", n);
}

static void an_accepted_job_is_in_its_lane(void **state)
{
    struct submit_world *w = *state;

    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_ACCEPTED);
    assert_string_equal(w->job, "normal-1700000000000-0");
    store_expect(
        &w->store, "XRANGE " P "jobs:normal - +",
        "*1\r\n*2\r\n$15\r\n1700000000000-0\r\n*2\r\n$3\r\nurl\r\n$13\r\nexample.com/a\r\n");
}

static void a_lost_connection_leaves_it_unknown(void **state)
{
    struct submit_world *w = *state;

    fakeio_fail_next("XADD", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNKNOWN);
    expect_jobs(w, 0);
    fakeio_fail_next("XADD", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNKNOWN);
    expect_jobs(w, 1);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_ACCEPTED);
    assert_int_equal(w->ups, 3);
}

static void without_memory_it_is_refused_in_redis_words(void **state)
{
    struct submit_world *w = *state;

    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_REFUSED);
    assert_string_equal(w->why, OOM);
    assert_int_equal(put(w, 2, "a", "same"), SUBMIT_REFUSED);
    assert_memory_equal(w->why, OOM, strlen(OOM));
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_REFUSED);
    assert_memory_equal(w->why, OOM, strlen(OOM));
    expect_jobs(w, 0);
    fakeredis_set_full(w->store.redis, NULL);
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_ACCEPTED);
    expect_jobs(w, 1);
}

/* A connection to a server that has become a replica is closed. */
static void a_replica_is_left(void **state)
{
    struct submit_world *w = *state;

    fakeio_fail_next("XADD", FAKEIO_REFUSED,
                     "READONLY You can't write against a read only replica.");
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNKNOWN);
    assert_false(submit_is_up(w->submit, NULL));
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_ACCEPTED);
    assert_int_equal(w->ups, 2);
}

static void expect_once(struct submit_world *w, size_t fields)
{
    char job[sizeof(w->job)];

    assert_int_equal(put(w, fields, "a", "same"), SUBMIT_ACCEPTED);
    memcpy(job, w->job, sizeof(job));
    assert_int_equal(put(w, fields, "a", "same"), SUBMIT_REPEATED);
    assert_string_equal(w->job, job);
    assert_int_equal(put(w, fields, "a", "other"), SUBMIT_CONFLICT);
    expect_jobs(w, 1);
    assert_int_equal(put(w, fields, "b", "same"), SUBMIT_ACCEPTED);
    expect_jobs(w, 2);
    store_expect_number(&w->store, "TTL " P "once:a", SUBMIT_IDEMPOTENCY_S);
    store_expect(&w->store, "KEYS *:before", "*0\r\n");
}

static void a_small_job_is_made_once(void **state)
{
    struct submit_world *w = *state;

    expect_once(w, 2);
    assert_int_equal(fakeio_count("put_once"), 4);
}

static void a_large_job_is_made_once(void **state)
{
    struct submit_world *w = *state;

    expect_once(w, SPANS_MANY);
    assert_int_equal(fakeio_count("end_once"), 4);
    assert_int_equal(fakeio_count("EXEC"), 4);
    assert_int_equal(fakeio_count("put_once"), 0);
}

/* After a failure of this step, the client asks again, and there must be only one job. */
static void expect_one_job_after(struct submit_world *w, size_t fields, const char *step,
                                 enum fakeio_fault what, const char *key, unsigned jobs)
{
    enum submit_outcome again;

    fakeio_fail_next(step, what, NULL);
    assert_int_equal(put(w, fields, key, "same"), SUBMIT_UNKNOWN);
    again = put(w, fields, key, "same");
    assert_true(again == SUBMIT_ACCEPTED || again == SUBMIT_REPEATED);
    expect_jobs(w, jobs);
    assert_int_equal(put(w, fields, key, "same"), SUBMIT_REPEATED);
    expect_jobs(w, jobs);
    store_expect(&w->store, "KEYS *:before", "*0\r\n");
}

static void an_answer_that_was_lost_makes_no_second_job(void **state)
{
    static const char *const large[] = {"MULTI", "begin_once", "XADD", "end_once", "EXEC"};
    struct submit_world *w = *state;
    unsigned jobs = 0;
    char key[16];

    for (size_t i = 0; i < array_len(large); i++) {
        for (int after = 0; after < 2; after++) {
            snprintf(key, sizeof(key), "%zu%d", i, after);
            expect_one_job_after(w, SPANS_MANY, large[i],
                                 after ? FAKEIO_LOST_AFTER : FAKEIO_LOST_BEFORE, key, ++jobs);
        }
    }
    expect_one_job_after(w, 2, "put_once", FAKEIO_LOST_BEFORE, "small", ++jobs);
    expect_one_job_after(w, 2, "put_once", FAKEIO_LOST_AFTER, "smaller", ++jobs);
}

/* The Redis user may have no permission for MULTI. */
static void without_transactions_there_is_no_second_job_either(void **state)
{
    static const char *const words =
        "NOPERM this user has no permissions to run the 'multi' command";
    struct submit_world *w = *state;

    fakeio_fail_next("MULTI", FAKEIO_REFUSED, words);
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_REFUSED);
    assert_string_equal(w->why, words);
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_REPEATED);
    expect_jobs(w, 1);
}

/* If the XADD is refused, the script after it must not use the entry of another client. */
static void a_refused_xadd_leaves_the_entry_before_it_alone(void **state)
{
    struct submit_world *w = *state;

    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_ACCEPTED);
    fakeio_fail_next("MULTI", FAKEIO_REFUSED, "NOPERM not this");
    fakeio_fail_next("XADD", FAKEIO_REFUSED, "NOPERM nor that");
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_REFUSED);
    expect_jobs(w, 1);
    store_expect_number(&w->store, "EXISTS " P "once:a", 0);
}

static void a_key_of_the_wrong_type_is_said_and_adds_nothing(void **state)
{
    struct submit_world *w = *state;

    store_do(&w->store, "RPUSH " P "once:a x");
    assert_int_equal(put(w, 2, "a", "same"), SUBMIT_REFUSED);
    assert_memory_equal(w->why, "WRONGTYPE", 9);
    assert_int_equal(put(w, SPANS_MANY, "a", "same"), SUBMIT_REFUSED);
    assert_memory_equal(w->why, "WRONGTYPE", 9);
    expect_jobs(w, 0);
    store_do(&w->store, "DEL " P "jobs:normal");
    store_do(&w->store, "SET " P "jobs:normal x");
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_REFUSED);
    assert_int_equal(put(w, 2, "b", "same"), SUBMIT_REFUSED);
    assert_int_equal(put(w, SPANS_MANY, "b", "same"), SUBMIT_REFUSED);
    store_expect_number(&w->store, "EXISTS " P "once:b", 0);
}

static void what_waits_when_it_closes_is_answered(void **state)
{
    struct submit_world *w = *state;
    struct span fields[] = {SPAN("url"), SPAN("example.com/a")};

    submit_put(w->submit, &w->account, LANE_NORMAL, fields, 2, NULL, on_put, w);
    submit_close(w->submit, on_closed, w);
    store_until(&w->store, w->closed);
    assert_int_equal(w->answers, 1);
    assert_int_equal(w->outcome, SUBMIT_UNKNOWN);
    w->closed = false;
    w->submit = submit_new(w->store.loop, NULL, on_up, on_tried, w);
}

/* -- the first attempt to connect -- */

static void reopen_submit(struct submit_world *w, const struct redis_address *address)
{
    submit_close(w->submit, on_closed, w);
    store_until(&w->store, w->closed);
    w->closed = false;
    w->ups = w->tries = 0;
    w->submit = submit_new(w->store.loop, address, on_up, on_tried, w);
}

static void the_first_attempt_is_told_once_when_redis_is_there(void **state)
{
    struct submit_world *w = *state;

    store_until(&w->store, w->tries == 1);
    assert_true(submit_is_up(w->submit, "main"));
    fakeio_fail_next("XADD", FAKEIO_LOST_BEFORE, NULL);
    (void)put(w, 2, NULL, NULL);
    store_until(&w->store, w->ups == 2);
    assert_int_equal(w->tries, 1);
}

static void the_first_attempt_is_told_once_when_redis_is_away(void **state)
{
    struct submit_world *w = *state;

    fakeio_serve(NULL);
    reopen_submit(w, NULL);
    store_until(&w->store, w->tries == 1);
    assert_false(submit_is_up(w->submit, "main"));
    fakeio_serve(w->store.redis);
    store_until(&w->store, w->ups == 1);
    assert_int_equal(w->tries, 1);
}

/* In a Cluster each account has its own connection. */
static void all_connections_are_tried_before_it_is_told(void **state)
{
    const struct redis_address cluster = {.cluster = true};
    struct submit_world *w = *state;

    reopen_submit(w, &cluster);
    submit_serve(w->submit, "main");
    submit_serve(w->submit, "other");
    store_until(&w->store, w->tries == 1);
    assert_int_equal(w->ups_before, 3);
    assert_true(submit_is_up(w->submit, "main"));
    assert_true(submit_is_up(w->submit, "other"));
}

/* -- replicas -- */

static void set_replicas(struct submit_world *w, unsigned have)
{
    fakeredis_set_replicas(w->store.redis, have, 2);
}

static void a_job_is_accepted_when_enough_replicas_have_it(void **state)
{
    struct submit_world *w = *state;

    set_replicas(w, 2);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_ACCEPTED);
    assert_string_equal(w->job, "normal-1700000000000-0");
    set_replicas(w, 1);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNREPLICATED);
    assert_string_equal(w->why, "1 of 2 replicas have the job");
    assert_string_equal(w->job, "");
    expect_jobs(w, 2);
}

/* Who repeats a request is told yes only when the replicas have the job by then. */
static void a_repeated_job_needs_the_replicas_as_well(void **state)
{
    struct submit_world *w = *state;

    for (size_t fields = 2; fields <= SPANS_MANY; fields += SPANS_MANY - 2) {
        const char *key = fields == 2 ? "small" : "large";

        set_replicas(w, 0);
        assert_int_equal(put(w, fields, key, "same"), SUBMIT_UNREPLICATED);
        assert_int_equal(put(w, fields, key, "same"), SUBMIT_UNREPLICATED);
        set_replicas(w, 2);
        assert_int_equal(put(w, fields, key, "same"), SUBMIT_REPEATED);
    }
    expect_jobs(w, 2);
}

static void a_refused_wait_is_no_yes(void **state)
{
    struct submit_world *w = *state;

    set_replicas(w, 2);
    fakeio_fail_next("WAIT", FAKEIO_REFUSED, "NOPERM this user has no permissions");
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNREPLICATED);
    assert_string_equal(w->why,
                        "0 of 2 replicas have the job: NOPERM this user has no permissions");
    fakeio_fail_next("WAIT", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_UNKNOWN);
}

static void a_refused_job_is_refused_without_waiting(void **state)
{
    struct submit_world *w = *state;

    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(put(w, 2, NULL, NULL), SUBMIT_REFUSED);
    assert_string_equal(w->why, OOM);
}

/* The first job has a WAIT of its own; those that come while it is under way share the second. */
static void many_jobs_share_a_wait(void **state)
{
    struct submit_world *w = *state;
    struct span fields[] = {SPAN("url"), SPAN("example.com/a")};

    set_replicas(w, 2);
    for (int i = 0; i < 100; i++)
        submit_put(w->submit, &w->account, LANE_NORMAL, fields, 2, NULL, on_put, w);
    store_until(&w->store, w->answers == 100);
    assert_int_equal(w->outcome, SUBMIT_ACCEPTED);
    expect_jobs(w, 100);
    assert_int_equal(fakeio_count("WAIT"), 2);
}

#define with_replicas(test) cmocka_unit_test_setup_teardown(test, set_up_with_replicas, tear_down)
#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(an_accepted_job_is_in_its_lane),
        over_redis(a_lost_connection_leaves_it_unknown),
        over_redis(without_memory_it_is_refused_in_redis_words),
        over_redis(a_replica_is_left),
        over_redis(a_small_job_is_made_once),
        over_redis(a_large_job_is_made_once),
        over_redis(an_answer_that_was_lost_makes_no_second_job),
        over_redis(without_transactions_there_is_no_second_job_either),
        over_redis(a_refused_xadd_leaves_the_entry_before_it_alone),
        over_redis(a_key_of_the_wrong_type_is_said_and_adds_nothing),
        over_redis(what_waits_when_it_closes_is_answered),
        over_redis(the_first_attempt_is_told_once_when_redis_is_there),
        over_redis(the_first_attempt_is_told_once_when_redis_is_away),
        over_redis(all_connections_are_tried_before_it_is_told),
        with_replicas(a_job_is_accepted_when_enough_replicas_have_it),
        with_replicas(a_repeated_job_needs_the_replicas_as_well),
        with_replicas(a_refused_wait_is_no_yes),
        with_replicas(a_refused_job_is_refused_without_waiting),
        with_replicas(many_jobs_share_a_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
