/* SPDX-License-Identifier: MIT
 * A large job is moved in several steps. If one of them fails, repeating all of them completes the
 * move. The job is always in at least one place. */
#include "store_queue.h"

#define BIG 5000 /* bytes; too large for a script */

static void push_large_again(struct queue_world *w, const char *repeat_after)
{
    char *big = alloc_zeroed(BIG + 1, 1), *command;

    memset(big, 'u', BIG);
    command =
        alloc_printf("XADD " P "jobs:normal " ENTRY " repeat_after %s url %s", repeat_after, big);
    store_do(&w->store, "FLUSHALL");
    store_do(&w->store, command);
    free(command);
    free(big);
}

static void push_large(struct queue_world *w)
{
    push_large_again(w, "50");
}

/* The number of places where the job is; at most two are allowed. */
static unsigned places(struct queue_world *w)
{
    static const char *const commands[] = {"XLEN " P "jobs:normal", "XLEN " P "dead",
                                           "ZCARD " P "postponed"};
    unsigned n = 0;

    for (size_t i = 0; i < array_len(commands); i++)
        n += (unsigned)strtoul(store_ask(&w->store, commands[i]) + 1, NULL, 10);
    return n;
}

static void expect_settled(struct queue_world *w, enum outcome outcome)
{
    bool waits = outcome != OUTCOME_DEAD;

    store_expect_number(&w->store, "XLEN " P "jobs:normal", 0);
    store_expect_number(&w->store, "ZCARD " P "postponed", waits);
    store_expect_number(&w->store, "HLEN " P "postponed:jobs", waits);
    assert_int_equal(*store_ask(&w->store, "XLEN " P "dead") == ':', 1);
    assert_int_equal(strcmp(w->store.said.p, ":0\r\n") == 0, waits);
    store_expect_number(&w->store, "EXISTS " P "receipt:normal-" ENTRY, outcome != OUTCOME_LATER);
}

/* Lets this step of settling a job with this outcome fail. Returns false if the outcome has no such
 * step. */
static bool fails_at(struct queue_world *w, enum outcome outcome, const char *step,
                     enum fakeio_fault what)
{
    unsigned ups = w->ups;
    bool took;

    push_large(w);
    fakeio_fail_next(step, what, what == FAKEIO_REFUSED ? "ERR not now" : NULL);
    (void)settle(w, outcome, true);
    took = fakeio_pending() == 0;
    assert_int_equal(w->err, took ? (what == FAKEIO_REFUSED ? -EIO : -ENOTCONN) : 0);
    if (took && what != FAKEIO_REFUSED)
        await_up(w, ups + 1);
    fakeio_forget();
    assert_true(places(w) >= 1);
    assert_int_equal(settle(w, outcome, true), 0);
    expect_settled(w, outcome);
    return took;
}

static void a_settle_that_fails_at_any_step_is_repeated(void **state)
{
    static const char *const steps[] = {"XRANGE", "write", "ZSCORE", "write_hash", "end_large"};
    static const enum outcome outcomes[] = {OUTCOME_DEAD, OUTCOME_LATER, OUTCOME_PURGED};
    struct queue_world *w = *state;
    unsigned took = 0;

    for (size_t o = 0; o < array_len(outcomes); o++)
        for (size_t i = 0; i < array_len(steps); i++)
            for (int what = FAKEIO_LOST_BEFORE; what <= FAKEIO_REFUSED; what++)
                took += fails_at(w, outcomes[o], steps[i], (enum fakeio_fault)what);
    assert_int_equal(took, 3 * (3 + 4 + 4)); /* read, write, end; read, name, write, end */
}

static void a_time_that_is_learnt_repeats_a_large_job_as_well(void **state)
{
    struct queue_world *w = *state;

    push_large_again(w, "auto");
    assert_int_equal(settle(w, OUTCOME_PURGED, true), 0);
    expect_settled(w, OUTCOME_PURGED);
}

static void without_memory_a_large_job_ends_all_the_same(void **state)
{
    struct queue_world *w = *state;

    push_large(w);
    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(settle(w, OUTCOME_DEAD, true), 0);
    fakeredis_set_full(w->store.redis, NULL);
    store_expect_number(&w->store, "XLEN " P "jobs:normal", 0);
    store_expect_number(&w->store, "XLEN " P "dead", 1);
    assert_int_equal(queue_receipts_skipped(w->queue), 1);
}

/* -- moving a postponed job back -- */

static unsigned moved;

static void on_due(void *ctx, int err, uint32_t n, uint64_t next_due_ms)
{
    (void)next_due_ms;
    moved = n;
    answered(ctx, err);
}

static int due(struct queue_world *w)
{
    unsigned answers = w->answers;

    queue_due(w->queue, w->store.now_ms + 1000, 10, on_due, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->err;
}

static void expect_back(struct queue_world *w)
{
    store_expect_number(&w->store, "ZCARD " P "postponed", 0);
    store_expect_number(&w->store, "HLEN " P "postponed:jobs", 0);
    assert_int_equal(*store_ask(&w->store, "XLEN " P "jobs:normal"), ':');
    assert_true(strcmp(w->store.said.p, ":0\r\n") != 0);
    store_expect_number(&w->store, "HEXISTS " P "places normal-" ENTRY, 1);
}

static void a_way_back_that_fails_at_any_step_is_repeated(void **state)
{
    static const char *const steps[] = {"due", "HGET", "write", "returned"};
    struct queue_world *w = *state;

    for (size_t i = 0; i < array_len(steps); i++) {
        for (int what = FAKEIO_LOST_BEFORE; what <= FAKEIO_LOST_AFTER; what++) {
            unsigned ups = w->ups;

            push_large(w);
            assert_int_equal(settle(w, OUTCOME_LATER, true), 0);
            fakeio_fail_next(steps[i], (enum fakeio_fault)what, NULL);
            assert_int_equal(due(w), -ENOTCONN);
            assert_int_equal(fakeio_pending(), 0);
            await_up(w, ups + 1);
            assert_true(places(w) >= 1);
            assert_int_equal(due(w), 0);
            expect_back(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_settle_that_fails_at_any_step_is_repeated),
        over_redis(a_time_that_is_learnt_repeats_a_large_job_as_well),
        over_redis(without_memory_a_large_job_ends_all_the_same),
        over_redis(a_way_back_that_fails_at_any_step_is_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
