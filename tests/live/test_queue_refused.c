/* SPDX-License-Identifier: MIT
 * A Redis that refuses commands because it is full, has no disk, or has other data in our keys. */
#include "queue_world.h"

/* Sidekiq, BullMQ and others lost jobs when Redis was full:
 * https://github.com/sidekiq/sidekiq/issues/2883. Commands that free memory must still work. */
static void a_full_redis_still_lets_jobs_end(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[4];
    struct redisReply *r;
    char *job;

    (void)state;
    have(w, "normal", 4);
    redis_server_do(w->server, "CONFIG SET maxmemory 1");
    r = redis_server_try(w->server, "SET a b");
    assert_non_null(strstr(r->str, "OOM"));
    freeReplyObject(r);
    assert_int_equal(ask_lease(w, 5000, NULL, "{\"a\":1}"), 0);
    assert_true(w->lead.leading);
    s[0] = purged(&w->entries[0]);
    s[1] = ended(&w->entries[1], OUTCOME_DEAD);
    s[2] = ended(&w->entries[2], OUTCOME_LATER);
    s[2].due_ms = 5;
    s[3] = purged(&w->entries[3]);
    s[3].receipt = false;
    assert_int_equal(ask_settle(w, s, 4), 0);
    assert_int_equal(queue_receipts_skipped(w->q), 2);
    expect_int(w, 1, "XLEN " P "dead");
    expect_int(w, 1, "ZCARD " P "postponed");
    expect_int(w, 0, "XLEN " P "jobs:normal");
    assert_int_equal(ask_due(w, 5, 10), 0);
    assert_int_equal(w->moved, 1);
    assert_int_equal(ask_spend(w, (struct queue_spend){.open = 5, .book = 3, .window_ms = 1000}),
                     0);
    redis_server_do(w->server, "CONFIG SET maxmemory 0");
    assert_int_equal(ask_read(w, 0, 1, 0), 0);
    s[0] = ended(&w->entries[0], OUTCOME_PURGED);
    assert_int_equal(ask_settle(w, s, 1), 0);
    assert_int_equal(queue_receipts_skipped(w->q), 2);
    job = w->entries[0].text;
    assert_non_null(strstr(job, "job="));
    job = strstr(job, "job=") + 4;
    *strchr(job, '\n') = '\0';
    expect_receipt(w, job, "purged");
    world_free(w);
}

/* Redis refuses writes without its replicas, or, with another message, when it cannot write to
 * disk: https://redis.io/docs/latest/operate/oss_and_stack/management/replication/ */
static void a_redis_that_refuses_every_write_says_enomem_and_loses_nothing(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[2];

    (void)state;
    have(w, "normal", 2);
    redis_server_do(w->server, "CONFIG SET min-replicas-to-write 1");
    s[0] = purged(&w->entries[0]);
    s[1] = ended(&w->entries[1], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, s, 2), -ENOMEM);
    assert_non_null(strstr(w->refusal, "NOREPLICAS"));
    assert_int_equal(ask_read(w, 1, 2, 1), 0);
    assert_int_equal(ask_lease(w, 5000, NULL, ""), -ENOMEM);
    redis_server_do(w->server, "CONFIG SET min-replicas-to-write 0");
    expect_int(w, 2, "XLEN " P "jobs:normal");
    expect_int(w, 0, "XLEN " P "dead");
    assert_int_equal(ask_settle(w, s, 2), 0);
    expect_int(w, 0, "XLEN " P "jobs:normal");
    expect_int(w, 1, "XLEN " P "dead");
    world_free(w);
}

static void a_dead_key_of_another_type_loses_nothing(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;

    (void)state;
    have(w, "normal", 1);
    redis_server_do(w->server, "SET " P "dead surprise");
    s = ended(&w->entries[0], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, &s, 1), -EIO);
    assert_non_null(strstr(w->refusal, "WRONGTYPE"));
    expect_int(w, 1, "XLEN " P "jobs:normal");
    redis_server_do(w->server, "DEL " P "dead");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_int(w, 1, "XLEN " P "dead");
    world_free(w);
}

/* The first becomes a dead letter, but the second cannot be postponed. After repeating both, there
 * is only one dead letter. */
static void a_failure_in_the_middle_moves_nothing_twice(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[3];

    (void)state;
    have(w, "normal", 3);
    s[0] = ended(&w->entries[0], OUTCOME_DEAD);
    s[1] = ended(&w->entries[1], OUTCOME_LATER);
    s[1].due_ms = 5;
    s[2] = ended(&w->entries[2], OUTCOME_DEAD);
    redis_server_do(w->server, "SET " P "postponed surprise");
    assert_int_equal(ask_settle(w, s, 3), -EIO);
    expect_int(w, 2, "XLEN " P "jobs:normal");
    expect_int(w, 1, "XLEN " P "dead");
    redis_server_do(w->server, "DEL " P "postponed");
    assert_int_equal(ask_settle(w, s, 3), 0);
    expect_int(w, 0, "XLEN " P "jobs:normal");
    expect_int(w, 2, "XLEN " P "dead");
    expect_int(w, 1, "ZCARD " P "postponed");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_redis_still_lets_jobs_end),
        cmocka_unit_test(a_redis_that_refuses_every_write_says_enomem_and_loses_nothing),
        cmocka_unit_test(a_failure_in_the_middle_moves_nothing_twice),
        cmocka_unit_test(a_dead_key_of_another_type_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
