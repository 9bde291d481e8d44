/* SPDX-License-Identifier: MIT
 * The history: what an entry of it says, and what goes when there is too much. */
#include "queue_world.h"

#include "history_line.h"

#define PURGE "\"keys\":[\"k\"],\"service\":\"news\""

static struct world *world_with_history(uint32_t jobs)
{
    struct world *w = world_new();

    w->keep = (struct queue_keep){60, jobs, 3600};
    return w;
}

/* Pushes `count` jobs with these fields, and reads them. */
static void have_jobs(struct world *w, int count, const char *fields)
{
    for (int i = 0; i < count; i++) {
        char *command = alloc_printf("XADD " P "jobs:normal * %s", fields);

        free(redis_server_str(w->server, command));
        free(command);
    }
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    assert_int_equal(w->count, count);
}

static struct queue_settle named(const struct seen *s)
{
    struct queue_settle item = purged(s);

    item.named = true;
    item.purge = SPAN(PURGE);
    return item;
}

static void settle_named(struct world *w)
{
    struct queue_settle s[ENTRIES_MAX];

    for (size_t i = 0; i < w->count; i++)
        s[i] = named(&w->entries[i]);
    assert_int_equal(ask_settle(w, s, w->count), 0);
}

/* The value of a field of the history's first entry. The caller frees it. */
static char *first_field(struct world *w, const char *name)
{
    return redis_server_str(
        w->server, "EVAL %s 1 " P "history %s",
        "local e = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1] "
        "for i = 1, e and #e[2] or 0, 2 do if e[2][i] == ARGV[1] then return e[2][i + 1] end end",
        name);
}

static void expect_field(struct world *w, const char *name, const char *wanted)
{
    char *value = first_field(w, name);

    assert_string_equal(value, wanted);
    free(value);
}

/* The line of the only job of the only entry, after the job's id. */
static void expect_line(struct world *w, const char *rest)
{
    char *job = job_id(&w->entries[0]);
    char *line = alloc_printf("{\"job\":\"%s\",%s\n", job, rest);

    expect_int(w, 1, "XLEN " P "history");
    expect_field(w, "n", "1");
    expect_field(w, "jobs", line);
    free(line);
    free(job);
}

static void the_jobs_of_one_write_are_one_entry(void **state)
{
    struct world *w = world_with_history(1000);
    char *first, *last, *lines, *expected;

    (void)state;
    have_jobs(w, 3, "keys k");
    settle_named(w);
    expect_int(w, 1, "XLEN " P "history");
    expect_field(w, "v", "1");
    expect_field(w, "n", "3");
    expect_field(w, "sum", "0");
    expect_field(w, "unsure", "");
    first = job_id(&w->entries[0]);
    last = job_id(&w->entries[2]);
    lines = first_field(w, "jobs");
    expected = alloc_printf("{\"job\":\"%s\",\"state\":\"purged\",\"purge\":{" PURGE "}}\n", first);
    assert_memory_equal(lines, expected, strlen(expected));
    free(expected);
    expected = alloc_printf("{\"job\":\"%s\",\"state\":\"purged\",\"purge\":{" PURGE "}}\n", last);
    assert_string_equal(lines + strlen(lines) - strlen(expected), expected);
    free(expected);
    free(lines);
    expect_receipt(w, first, "purged");
    expect_receipt(w, last, "purged");
    free(first);
    free(last);
    world_free(w);
}

static void a_job_that_needs_no_receipt_has_its_line(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;

    (void)state;
    have_jobs(w, 1, "keys k");
    s = named(&w->entries[0]);
    s.receipt = false;
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"purged\",\"purge\":{" PURGE "}}");
    expect_int(w, 0, "XLEN " P "jobs:normal");
    world_free(w);
}

static void targets_that_only_the_entry_has_are_in_the_line(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;

    (void)state;
    have_jobs(w, 1, "service news keys a%%20b ref r url x.com/1 soft 1");
    s = purged(&w->entries[0]);
    s.plain = false;
    s.targets = 2;
    s.purge = SPAN("\"service\":\"news\",\"sent\":5");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"purged\",\"targets\":2,\"ref\":\"r\",\"scope\":"
                   "[\"service:news\",\"key\",\"url\",\"host:x.com\"],\"purge\":{\"soft\":true,"
                   "\"keys\":[\"a%20b\"],\"urls\":[\"x.com/1\"],\"service\":\"news\",\"sent\":5}}");
    world_free(w);
}

static void of_many_targets_the_first_are_in_the_line(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;
    struct redisReply *reply;

    (void)state;
    reply = redis_server_try(w->server, "XADD " P "jobs:normal * keys %s",
                             "a b c d e f g h i j k l m n o p q r");
    freeReplyObject(reply);
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    s = purged(&w->entries[0]);
    s.targets = 18;
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"purged\",\"targets\":18,\"purge\":{\"keys\":["
                   "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\","
                   "\"n\",\"o\",\"p\"],\"more\":2}}");
    world_free(w);
}

static void a_dead_job_has_its_reason_in_the_line(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;

    (void)state;
    have_jobs(w, 1, "keys k");
    s = ended(&w->entries[0], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"dead\",\"reason\":\"because\",\"scope\":[\"key\"],"
                   "\"purge\":{\"keys\":[\"k\"]}}");
    world_free(w);
}

static void a_write_that_is_repeated_adds_nothing(void **state)
{
    struct world *w = world_with_history(1000);

    (void)state;
    have_jobs(w, 3, "keys k");
    settle_named(w);
    settle_named(w);
    expect_int(w, 1, "XLEN " P "history");
    world_free(w);
}

static void a_write_of_jobs_of_which_some_are_gone_is_unsure(void **state)
{
    struct world *w = world_with_history(1000);
    char *id;

    (void)state;
    have_jobs(w, 3, "keys k");
    id = alloc_printf("%llu-%llu", (unsigned long long)w->entries[1].id.ms,
                      (unsigned long long)w->entries[1].id.seq);
    expect_int(w, 1, "XDEL " P "jobs:normal %s", id);
    free(id);
    settle_named(w);
    expect_field(w, "unsure", "1");
    expect_field(w, "n", "3");
    world_free(w);
}

static void the_oldest_jobs_go_when_there_are_too_many(void **state)
{
    struct world *w = world_with_history(10);

    (void)state;
    for (int i = 0; i < 5; i++) {
        have_jobs(w, 4, "keys k");
        settle_named(w);
    }
    expect_int(w, 2, "XLEN " P "history"); /* of 4 jobs each; a third one would be too many */
    expect_field(w, "sum", "12");
    w->keep.history_jobs = 3; /* but what was just written stays */
    have_jobs(w, 4, "keys k");
    settle_named(w);
    expect_int(w, 1, "XLEN " P "history");
    expect_field(w, "sum", "20");
    world_free(w);
}

static void a_history_whose_count_is_lost_is_limited_again(void **state)
{
    struct world *w = world_with_history(8);

    (void)state;
    for (int i = 0; i < 2; i++) {
        have_jobs(w, 4, "keys k");
        settle_named(w);
    }
    redis_server_do(w->server, "DEL " P "history:size");
    for (int i = 0; i < 6; i++) {
        have_jobs(w, 4, "keys k");
        settle_named(w);
    }
    expect_int(w, 2, "XLEN " P "history");
    expect_field(w, "sum", "16");
    world_free(w);
}

static void old_jobs_go(void **state)
{
    struct world *w = world_with_history(1000000);

    (void)state;
    /* Redis removes whole nodes of a stream; by default, 100 entries are one. */
    redis_server_do(w->server, "CONFIG SET stream-node-max-entries 2");
    for (int i = 1; i <= 6; i++)
        redis_server_do(w->server, "XADD " P "history %d-0 v 1 n 1 sum 0 at %d jobs x", i, i);
    have_jobs(w, 1, "keys k");
    settle_named(w);
    expect_int(w, 1, "XLEN " P "history");
    world_free(w);
}

static void a_key_that_is_no_history_does_not_stop_the_dispatch(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;
    char *job;

    (void)state;
    redis_server_do(w->server, "SET " P "history x");
    have_jobs(w, 2, "keys k");
    settle_named(w);
    job = job_id(&w->entries[1]);
    expect_receipt(w, job, "purged");
    free(job);
    assert_int_equal(queue_history_skipped(w->q), 2);
    assert_int_equal(queue_receipts_skipped(w->q), 0);
    have_jobs(w, 1, "keys k");
    s = ended(&w->entries[0], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    assert_int_equal(queue_history_skipped(w->q), 3);
    expect_int(w, 1, "XLEN " P "dead");
    world_free(w);
}

static void without_free_memory_nothing_is_added(void **state)
{
    struct world *w = world_with_history(1000);
    struct queue_settle s;

    (void)state;
    have_jobs(w, 3, "keys k");
    redis_server_do(w->server, "CONFIG SET maxmemory 1");
    s = named(&w->entries[0]);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    s = ended(&w->entries[1], OUTCOME_EXPIRED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    assert_int_equal(queue_history_skipped(w->q), 2);
    assert_int_equal(queue_receipts_skipped(w->q), 2);
    redis_server_do(w->server, "CONFIG SET maxmemory 0");
    expect_int(w, 0, "XLEN " P "history");
    expect_int(w, 1, "XLEN " P "jobs:normal");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_jobs_of_one_write_are_one_entry),
        cmocka_unit_test(a_job_that_needs_no_receipt_has_its_line),
        cmocka_unit_test(targets_that_only_the_entry_has_are_in_the_line),
        cmocka_unit_test(of_many_targets_the_first_are_in_the_line),
        cmocka_unit_test(a_dead_job_has_its_reason_in_the_line),
        cmocka_unit_test(a_write_that_is_repeated_adds_nothing),
        cmocka_unit_test(a_write_of_jobs_of_which_some_are_gone_is_unsure),
        cmocka_unit_test(the_oldest_jobs_go_when_there_are_too_many),
        cmocka_unit_test(a_history_whose_count_is_lost_is_limited_again),
        cmocka_unit_test(old_jobs_go),
        cmocka_unit_test(a_key_that_is_no_history_does_not_stop_the_dispatch),
        cmocka_unit_test(without_free_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
