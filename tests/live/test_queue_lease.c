/* SPDX-License-Identifier: MIT
 * Lease, control and budget. */
#include "queue_world.h"

static void the_first_takes_the_lease_and_keeps_it(void **state)
{
    struct world *w = world_new(), *other;

    (void)state;
    assert_int_equal(ask_lease(w, 5000, NULL, "{\"n\":1}"), 0);
    assert_true(w->lead.leading);
    assert_true(w->lead.taken_over);
    assert_string_equal(w->lead.holder, "me");
    expect_str(w, "{\"n\":1}", "GET " P "status");
    assert_in_range(redis_server_int(w->server, "TTL " P "status"), 4, 5);
    other = world_open(w->server, "other");
    assert_int_equal(ask_lease(other, 5000, NULL, "{\"n\":2}"), 0);
    assert_false(other->lead.leading);
    assert_false(other->lead.taken_over);
    assert_string_equal(other->lead.holder, "me");
    assert_in_range(other->lead.holder_ttl_ms, 1, 5000);
    assert_int_equal(ask_lease(other, 5000, "somebody else", ""), 0);
    assert_false(other->lead.leading);
    assert_int_equal(ask_lease(w, 9000, NULL, ""), 0);
    assert_true(w->lead.leading);
    assert_false(w->lead.taken_over);
    assert_in_range(redis_server_int(w->server, "PTTL " P "lease"), 8000, 9000);
    expect_str(w, "{\"n\":1}", "GET " P "status");
    world_close(other);
    world_free(w);
}

static void a_released_lease_is_free_and_only_ours_is_released(void **state)
{
    struct world *w = world_new(), *other;
    int answers;

    (void)state;
    other = world_open(w->server, "other");
    assert_int_equal(ask_lease(w, 5000, NULL, ""), 0);
    answers = other->answers;
    queue_release(other->q, QUEUE_LEAVES, world_on_done, other);
    assert_int_equal(await(other, answers + 1), 0);
    expect_str(w, "me", "GET " P "lease");
    answers = w->answers;
    queue_release(w->q, QUEUE_LEAVES, world_on_done, w);
    assert_int_equal(await(w, answers + 1), 0);
    assert_int_equal(ask_lease(other, 5000, NULL, ""), 0);
    assert_true(other->lead.leading);
    assert_true(other->lead.taken_over);
    world_close(other);
    world_free(w);
}

static void an_expired_lease_goes_to_the_next(void **state)
{
    struct world *w = world_new(), *other;
    uint64_t until = clock_mono_ns() + 5 * NS_PER_S;

    (void)state;
    other = world_open(w->server, "other");
    assert_int_equal(ask_lease(w, 50, NULL, ""), 0);
    do {
        assert_int_equal(ask_lease(other, 5000, NULL, ""), 0);
        assert_true(clock_mono_ns() < until);
    } while (!other->lead.leading);
    assert_true(other->lead.taken_over);
    assert_int_equal(ask_lease(w, 5000, NULL, ""), 0);
    assert_false(w->lead.leading);
    assert_int_equal(ask_spend(w, (struct queue_spend){.open = 1, .window_ms = 1000}), -EPERM);
    world_close(other);
    world_free(w);
}

static void the_lease_of_a_dead_owner_is_taken_at_once(void **state)
{
    struct world *w = world_new(), *other;

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    other = world_open(w->server, "other");
    assert_int_equal(ask_lease(other, 5000, "me", ""), 0);
    assert_true(other->lead.leading);
    assert_true(other->lead.taken_over);
    assert_int_equal(ask_lease(w, 5000, "me", ""), 0);
    assert_false(w->lead.leading);
    world_close(other);
    world_free(w);
}

static void a_lease_survives_the_restart_of_redis(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    redis_server_kill(w->server);
    assert_int_equal(ask_lease(w, 60000, NULL, ""), -ENOTCONN);
    redis_server_restart(w->server);
    run_until(w, w->ups == 2);
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_true(w->lead.leading);
    assert_false(w->lead.taken_over);
    world_free(w);
}

static void a_pause_is_seen_by_all_with_its_reason(void **state)
{
    struct world *w = world_new(), *other;

    (void)state;
    other = world_open(w->server, "other");
    assert_int_equal(ask_lease(w, 5000, NULL, ""), 0);
    assert_false(w->lead.paused);
    redis_server_do(w->server, "HSET " P "control paused 1 why holidays");
    assert_int_equal(ask_lease(other, 5000, NULL, ""), 0);
    assert_true(other->lead.paused);
    assert_string_equal(other->lead.paused_why, "holidays");
    redis_server_do(w->server, "HSET " P "control paused 0");
    assert_int_equal(ask_lease(w, 5000, NULL, ""), 0);
    assert_false(w->lead.paused);
    world_close(other);
    world_free(w);
}

static struct queue_spend spend(uint64_t open, uint64_t book)
{
    return (struct queue_spend){.ledger = LEDGER_PURGE,
                                .open = open,
                                .book = book,
                                .level_micro = 4321000000,
                                .window_ms = 3600000};
}

static uint64_t spent_in_all(const struct world *w)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->budget.spent_count; i++)
        sum += w->spent[i].cost;
    return sum;
}

static void an_unknown_ledger_is_empty(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 5000, NULL, ""), 0);
    for (int i = 0; i < 2; i++) { /* asking does not make it known, either */
        assert_int_equal(ask_restore(w, LEDGER_WRITE, 3600000), 0);
        assert_false(w->budget.known);
        assert_int_equal(w->budget.spent_count, 0);
    }
    world_free(w);
}

static void without_the_lease_nothing_is_spent(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_spend(w, spend(5, 0)), -EPERM);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), -EPERM);
    expect_int(w, 0, "EXISTS " P "budget " P "spent:purge");
    world_free(w);
}

static void what_was_open_counts_as_spent_after_a_take_over(void **state)
{
    struct world *w = world_new(), *next;

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_spend(w, spend(100, 0)), 0);
    assert_int_equal(ask_spend(w, spend(70, 30)), 0);
    assert_int_equal(ask_spend(w, spend(60, 0)), 0); /* ten were returned */
    next = world_open(w->server, "next");
    assert_int_equal(ask_lease(next, 60000, "me", ""), 0);
    assert_int_equal(ask_restore(next, LEDGER_PURGE, 3600000), 0);
    assert_true(next->budget.known);
    assert_int_equal(next->budget.level_micro, 4321000000);
    assert_in_range(next->budget.level_age_ms, 0, 10000);
    assert_int_equal(next->budget.spent_count, 2);
    assert_int_equal(next->spent[0].cost, 30);
    assert_int_equal(next->spent[1].cost, 60);
    assert_in_range(next->spent[0].age_ms, 0, 10000);
    assert_in_range(next->spent[1].age_ms + LATE_MS, 0, 10000); /* the request may still arrive */
    assert_int_equal(ask_restore(next, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(spent_in_all(next), 90);
    assert_int_equal(ask_spend(w, spend(0, 5)), -EPERM);
    assert_int_equal(ask_restore(next, LEDGER_URL, 3600000), 0);
    assert_false(next->budget.known);
    world_close(next);
    world_free(w);
}

static void what_a_429_taught_is_known_after_a_take_over(void **state)
{
    struct world *w = world_new(), *next;
    struct queue_spend taught = spend(100, 30), untaught = spend(100, 30);

    (void)state;
    taught.learnt = (struct queue_learnt){.burst = 25000, .spent = 31000, .age_ms = 60000};
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_spend(w, spend(100, 30)), 0);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(w->budget.learnt.burst, 0);
    assert_int_equal(ask_spend(w, taught), 0);
    assert_int_equal(ask_spend(w, untaught), 0); /* it does not take it back */
    next = world_open(w->server, "next");
    assert_int_equal(ask_lease(next, 60000, "me", ""), 0);
    assert_int_equal(ask_restore(next, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(next->budget.learnt.burst, 25000);
    assert_int_equal(next->budget.learnt.spent, 31000);
    assert_in_range(next->budget.learnt.age_ms, 60000, 90000);
    assert_int_equal(ask_restore(next, LEDGER_URL, 3600000), 0);
    assert_int_equal(next->budget.learnt.burst, 0);
    world_close(next);
    world_free(w);
}

/* It does not know the costs of the other instance. */
static void an_instance_that_has_not_restored_the_budget_may_not_spend(void **state)
{
    struct world *w = world_new(), *next;

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_spend(w, spend(100, 7)), 0);
    next = world_open(w->server, "next");
    assert_int_equal(ask_lease(next, 60000, "me", ""), 0);
    assert_int_equal(ask_spend(next, spend(1, 2)), -EPERM);
    assert_int_equal(ask_restore(next, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(spent_in_all(next), 7 + 100);
    assert_int_equal(ask_spend(next, spend(1, 2)), 0);
    world_close(next);
    world_free(w);
}

/* By how much the only cost aged while there was no leader. */
static int64_t age_after(struct world *w, const char *clock_at, const char *clock_wall)
{
    redis_server_do(w->server, "HSET " P "budget clock_at %s clock_wall %s", clock_at, clock_wall);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    return w->budget.spent_count ? w->spent[0].age_ms : INT64_MAX;
}

static void between_leaders_the_clock_that_says_less_is_believed(void **state)
{
    struct world *w = world_new();
    char now[32], minute_ago[32];

    (void)state;
    snprintf(now, sizeof(now), "%llu", (unsigned long long)clock_wall_ms());
    snprintf(minute_ago, sizeof(minute_ago), "%llu", (unsigned long long)clock_wall_ms() - 60000);
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_spend(w, spend(0, 30)), 0);
    assert_in_range(age_after(w, "1000", now), 0, 10000); /* Redis' clock was set forward */
    assert_in_range(age_after(w, now, "1000"), 0, 10000); /* our own clock was set forward */
    assert_in_range(age_after(w, "9999999999999", now), 0, 10000); /* Redis' clock was set back */
    assert_in_range(age_after(w, minute_ago, minute_ago), 60000, 90000);
    world_free(w);
}

static void the_leader_keeps_the_time_of_the_account(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    expect_int(w, 0, "HEXISTS " P "budget clock"); /* the budget must be restored first */
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    expect_int(w, 1, "HEXISTS " P "budget clock");
    world_free(w);
}

/* Only the reply is lost. The command is repeated, and counts once. */
static void a_booking_whose_reply_was_lost_counts_once(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(ask_spend(w, spend(50, 50)), 0);
    redis_server_kill(w->server);
    assert_int_equal(ask_spend(w, spend(0, 40)), -ENOTCONN);
    redis_server_restart(w->server);
    run_until(w, w->ups == 2);
    /* as if the lost command had been executed */
    redis_server_do(w->server, "HINCRBY " P "budget purge:booked 40");
    redis_server_do(w->server, "HINCRBY " P "budget purge:seq 1");
    redis_server_do(w->server, "XADD " P "spent:purge * c 40");
    assert_int_equal(ask_spend(w, spend(0, 40)), 0);
    assert_int_equal(ask_spend(w, spend(0, 1)), 0);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(spent_in_all(w), 91);
    world_free(w);
}

static void a_booking_that_never_arrived_counts_once_when_repeated(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(ask_spend(w, spend(50, 50)), 0);
    redis_server_kill(w->server);
    assert_int_equal(ask_spend(w, spend(0, 40)), -ENOTCONN);
    redis_server_restart(w->server);
    run_until(w, w->ups == 2);
    assert_int_equal(ask_spend(w, spend(0, 45)), 0); /* repeated together with new costs */
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(spent_in_all(w), 95);
    world_free(w);
}

static void what_is_older_than_the_window_is_not_restored(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    redis_server_do(w->server, "XADD " P "spent:purge 1000-1 c 99");
    assert_int_equal(ask_spend(w, spend(0, 3)), 0);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 3600000), 0);
    assert_int_equal(spent_in_all(w), 3);
    assert_int_equal(ask_restore(w, LEDGER_PURGE, 4000000000000), 0);
    assert_int_equal(spent_in_all(w), 102); /* Redis trims only whole nodes */
    world_free(w);
}

static void old_bookings_are_trimmed(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_lease(w, 60000, NULL, ""), 0);
    for (int i = 1; i <= 1000; i++)
        redis_server_do(w->server, "XADD " P "spent:purge %d-1 c 1", i);
    assert_int_equal(ask_spend(w, spend(0, 3)), 0);
    assert_in_range(redis_server_int(w->server, "XLEN " P "spent:purge"), 1, 101);
    world_free(w);
}

/* An answer can be lost together with the leader, so Redis keeps the names until the leader
 * confirms them. */
static void cancelled_jobs_are_told_until_the_leader_has_heard(void **state)
{
    struct world *me = world_new(), *you = world_open(me->server, "you");

    (void)state;
    for (int i = 0; i < 70; i++)
        redis_server_do(me->server, "RPUSH " P "cancelled normal-1-%d", i);
    assert_int_equal(ask_lease(me, 5000, NULL, ""), 0);
    assert_int_equal(me->lead.cancelled_count, 64);
    expect_int(me, 70, "LLEN " P "cancelled");

    /* It dies, and the next leader is told the same names. */
    redis_server_do(me->server, "DEL " P "lease");
    assert_int_equal(ask_lease(you, 5000, NULL, ""), 0);
    assert_int_equal(you->lead.cancelled_count, 64);
    assert_int_equal(you->lead.cancelled[0].id.seq, 0);
    assert_int_equal(ask_lease(you, 5000, NULL, ""), 0);
    assert_int_equal(you->lead.cancelled_count, 6);
    assert_int_equal(you->lead.cancelled[0].id.seq, 64);

    /* The confirmed name is no longer at the front. */
    redis_server_do(me->server, "LPOP " P "cancelled");
    assert_int_equal(ask_lease(you, 5000, NULL, ""), 0);
    assert_int_equal(you->lead.cancelled_count, 5);
    assert_int_equal(ask_lease(you, 5000, NULL, ""), 0);
    assert_int_equal(you->lead.cancelled_count, 0);
    expect_int(me, 0, "EXISTS " P "cancelled");
    world_close(you);
    world_free(me);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_takes_the_lease_and_keeps_it),
        cmocka_unit_test(a_released_lease_is_free_and_only_ours_is_released),
        cmocka_unit_test(an_expired_lease_goes_to_the_next),
        cmocka_unit_test(the_lease_of_a_dead_owner_is_taken_at_once),
        cmocka_unit_test(a_lease_survives_the_restart_of_redis),
        cmocka_unit_test(a_pause_is_seen_by_all_with_its_reason),
        cmocka_unit_test(an_unknown_ledger_is_empty),
        cmocka_unit_test(without_the_lease_nothing_is_spent),
        cmocka_unit_test(what_was_open_counts_as_spent_after_a_take_over),
        cmocka_unit_test(what_a_429_taught_is_known_after_a_take_over),
        cmocka_unit_test(an_instance_that_has_not_restored_the_budget_may_not_spend),
        cmocka_unit_test(between_leaders_the_clock_that_says_less_is_believed),
        cmocka_unit_test(the_leader_keeps_the_time_of_the_account),
        cmocka_unit_test(a_booking_whose_reply_was_lost_counts_once),
        cmocka_unit_test(a_booking_that_never_arrived_counts_once_when_repeated),
        cmocka_unit_test(what_is_older_than_the_window_is_not_restored),
        cmocka_unit_test(old_bookings_are_trimmed),
        cmocka_unit_test(cancelled_jobs_are_told_until_the_leader_has_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
