/* SPDX-License-Identifier: MIT
 * A leader's queue with a Redis that forgets scripts, loses connections, is out of memory, or has
 * keys of the wrong type. Repeated commands must take effect only once. */
#include "store_queue.h"

static void scripts_that_redis_forgot_are_taught_again(void **state)
{
    struct queue_world *w = *state;
    size_t whole = fakeio_count("EVAL");

    assert_int_equal(lead(w), 0);
    assert_int_equal(fakeio_count("EVAL"), whole);
    store_do(&w->store, "SCRIPT FLUSH");
    assert_int_equal(lead(w), 0);
    assert_true(w->leading);
    assert_int_equal(fakeio_count("EVAL"), whole + 1);
    assert_int_equal(lead(w), 0);
    assert_int_equal(fakeio_count("EVAL"), whole + 1);
    assert_int_equal(w->refusals, 0);
}

static void a_lease_is_renewed_without_memory(void **state)
{
    struct queue_world *w = *state;

    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(lead(w), 0);
    assert_true(w->leading);
    w->store.now_ms += 2000;
    assert_int_equal(lead(w), 0);
    store_expect_number(&w->store, "PTTL " P "lease", 3000);
    fakeredis_set_full(w->store.redis, NULL);
}

static void a_full_disk_is_said(void **state)
{
    struct queue_world *w = *state;

    fakeredis_set_refusing(w->store.redis, "MISCONF Redis cannot write to its disk");
    assert_int_equal(lead(w), -ENOMEM);
    assert_int_equal(w->refusals, 1);
    fakeredis_set_refusing(w->store.redis, NULL);
    assert_int_equal(lead(w), 0);
}

/* The names of cancelled jobs are returned until the leader has acknowledged them. */
static void an_answer_with_cancelled_jobs_that_was_lost_is_told_again(void **state)
{
    struct queue_world *w = *state;

    assert_int_equal(lead(w), 0);
    store_do(&w->store, "RPUSH " P "cancelled bulk-5-1");
    fakeio_fail_next("lead", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(lead(w), -ENOTCONN);
    await_up(w, 2);
    assert_int_equal(lead(w), 0);
    assert_int_equal(w->gone_count, 1);
    assert_int_equal(w->gone.lane, LANE_BULK);
    store_expect_number(&w->store, "LLEN " P "cancelled", 1);
    assert_int_equal(lead(w), 0);
    assert_int_equal(w->gone_count, 0);
    store_expect_number(&w->store, "EXISTS " P "cancelled", 0);
}

static void expect_ended_once(struct queue_world *w, enum outcome outcome)
{
    bool later = outcome == OUTCOME_LATER;

    store_expect_number(&w->store, "XLEN " P "jobs:normal", 0);
    store_expect_number(&w->store, "XLEN " P "dead", outcome == OUTCOME_DEAD);
    store_expect_number(&w->store, "ZCARD " P "postponed", later);
    store_expect_number(&w->store, "HLEN " P "postponed:jobs", later);
    store_expect_number(&w->store, "EXISTS " P "receipt:normal-" ENTRY, !later);
}

static void a_settle_whose_answer_was_lost_is_repeated_and_ends_once(void **state)
{
    static const enum outcome outcomes[] = {OUTCOME_PURGED, OUTCOME_DEAD, OUTCOME_CANCELLED,
                                            OUTCOME_EXPIRED, OUTCOME_LATER};
    struct queue_world *w = *state;
    unsigned ups = 1;

    for (size_t i = 0; i < 2 * array_len(outcomes); i++) {
        enum outcome outcome = outcomes[i / 2];

        store_do(&w->store, "FLUSHALL");
        store_do(&w->store, "XADD " P "jobs:normal " ENTRY " url a");
        fakeio_fail_next("settle", i % 2 ? FAKEIO_LOST_AFTER : FAKEIO_LOST_BEFORE, NULL);
        assert_int_equal(settle(w, outcome, false), -ENOTCONN);
        await_up(w, ++ups);
        assert_int_equal(settle(w, outcome, false), 0);
        expect_ended_once(w, outcome);
    }
}

static void without_memory_a_job_dies_without_a_receipt(void **state)
{
    struct queue_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal " ENTRY " url a");
    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(settle(w, OUTCOME_DEAD, false), 0);
    fakeredis_set_full(w->store.redis, NULL);
    store_expect_number(&w->store, "XLEN " P "jobs:normal", 0);
    store_expect_number(&w->store, "XLEN " P "dead", 1);
    assert_int_equal(queue_receipts_skipped(w->queue), 1);
}

static void a_broken_key_keeps_the_job(void **state)
{
    static const char *const keys[] = {"dead", "places"};
    struct queue_world *w = *state;
    char command[100];

    store_do(&w->store, "XADD " P "jobs:normal " ENTRY " url a");
    for (size_t i = 0; i < array_len(keys); i++) {
        snprintf(command, sizeof(command), "SET " P "%s x", keys[i]);
        store_do(&w->store, command);
        assert_int_equal(settle(w, OUTCOME_DEAD, false), -EIO);
        store_expect_number(&w->store, "XLEN " P "jobs:normal", 1);
        assert_int_equal(w->refusals, i + 1);
        snprintf(command, sizeof(command), "DEL " P "%s", keys[i]);
        store_do(&w->store, command);
    }
    assert_int_equal(settle(w, OUTCOME_DEAD, false), 0);
    store_expect_number(&w->store, "XLEN " P "dead", 1);
}

/* -- reading -- */

static bool on_room(void *ctx, enum lane lane, uint64_t bytes)
{
    (void)ctx, (void)lane, (void)bytes;
    return true;
}

static bool on_entry(void *ctx, const struct queue_entry *e)
{
    struct queue_world *w = ctx;

    assert_int_equal(e->lane, LANE_NORMAL);
    assert_int_equal(e->fields_count, 2);
    w->reads++;
    return true;
}

static void on_read(void *ctx, int err, bool all)
{
    struct queue_world *w = ctx;

    w->all = all;
    answered(w, err);
}

static void start_read(struct queue_world *w, uint32_t block_ms)
{
    struct queue_read how = {.lanes = {true, true, true},
                             .count = 10,
                             .block_ms = block_ms,
                             .entry_max_bytes = 1000,
                             .room = on_room,
                             .entry = on_entry,
                             .done = on_read};

    queue_read(w->queue, &how, w);
}

static void a_read_that_was_lost_is_read_again(void **state)
{
    struct queue_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal " ENTRY " url a");
    fakeio_fail_next("XREAD", FAKEIO_LOST_AFTER, NULL);
    start_read(w, 0);
    store_until(&w->store, w->answers == 1);
    assert_int_equal(w->err, -ENOTCONN);
    assert_int_equal(w->reads, 0);
    await_up(w, 2);
    start_read(w, 0);
    store_until(&w->store, w->answers == 2);
    assert_int_equal(w->reads, 1);
    assert_true(w->all);
}

static void a_waiting_read_hears_of_a_new_entry(void **state)
{
    struct queue_world *w = *state;

    start_read(w, 20000);
    assert_int_equal(lead(w), 0); /* other commands are still answered */
    assert_int_equal(w->reads, 0);
    store_do(&w->store, "XADD " P "jobs:normal " ENTRY " url a");
    store_until(&w->store, w->answers == 2);
    assert_int_equal(w->err, 0);
    assert_int_equal(w->reads, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(scripts_that_redis_forgot_are_taught_again),
        over_redis(a_lease_is_renewed_without_memory),
        over_redis(a_full_disk_is_said),
        over_redis(an_answer_with_cancelled_jobs_that_was_lost_is_told_again),
        over_redis(a_settle_whose_answer_was_lost_is_repeated_and_ends_once),
        over_redis(without_memory_a_job_dies_without_a_receipt),
        over_redis(a_broken_key_keeps_the_job),
        over_redis(a_read_that_was_lost_is_read_again),
        over_redis(a_waiting_read_hears_of_a_new_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
