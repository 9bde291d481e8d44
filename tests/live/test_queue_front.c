/* SPDX-License-Identifier: MIT
 * Which commands remove the jobs that end at the front of a lane, with a real Redis. That nothing
 * else is removed, store/test_queue_front.c tests for any stream. */
#include "queue_world.h"

/* Pushes jobs as most producers do: one short field. */
static void push_short(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(redis_server_str(w->server, "XADD " P "jobs:normal * keys article-%u", i));
}

static char *push_long(struct world *w, size_t bytes)
{
    char *keys = alloc_zeroed(bytes + 1, 1), *id;

    memset(keys, 'k', bytes);
    id = redis_server_str(w->server, "XADD " P "jobs:normal * keys %s", keys);
    free(keys);
    return id;
}

static void read_all(struct world *w, size_t count)
{
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    assert_int_equal(w->count, count);
}

/* Ends entries that were read, from the one to before the other, without receipts. */
static void end(struct world *w, size_t from, size_t to)
{
    struct queue_settle s[ENTRIES_MAX];

    for (size_t i = from; i < to; i++) {
        s[i - from] = purged(&w->entries[i]);
        s[i - from].receipt = false;
        s[i - from].large = w->entries[i].large;
    }
    redis_server_do(w->server, "CONFIG RESETSTAT");
    assert_int_equal(ask_settle(w, s, to - from), 0);
}

/* How often Redis has carried out a command since the last `end`. */
static unsigned long calls(struct world *w, const char *command)
{
    char *stats = redis_server_str(w->server, "INFO commandstats"),
         *name = alloc_printf("cmdstat_%s:calls=", command), *at = strstr(stats, name);
    unsigned long n = at ? strtoul(at + strlen(name), NULL, 10) : 0;

    free(name);
    free(stats);
    return n;
}

static void jobs_that_end_in_order_are_trimmed(void **state)
{
    struct world *w = world_new();

    (void)state;
    push_short(w, 700);
    read_all(w, 700);
    end(w, 0, 600);
    assert_int_equal(calls(w, "xtrim"), 3); /* 256 jobs each */
    assert_int_equal(calls(w, "xdel"), 0);
    expect_int(w, 100, "XLEN " P "jobs:normal");
    end(w, 600, 700);
    assert_int_equal(calls(w, "xdel"), 0);
    expect_int(w, 0, "XLEN " P "jobs:normal");
    world_free(w);
}

static void jobs_that_end_the_other_way_round_are_trimmed_too(void **state)
{
    struct world *w = world_new();
    struct seen first;

    (void)state;
    push_short(w, 100);
    read_all(w, 100);
    first = w->entries[0];
    w->entries[0] = w->entries[99];
    w->entries[99] = first;
    end(w, 0, 100);
    assert_int_equal(calls(w, "xtrim"), 1);
    assert_int_equal(calls(w, "xdel"), 0);
    world_free(w);
}

static void jobs_behind_one_that_is_open_are_deleted(void **state)
{
    struct world *w = world_new();

    (void)state;
    push_short(w, 100);
    read_all(w, 100);
    end(w, 1, 50);
    assert_int_equal(calls(w, "xtrim"), 0);
    assert_int_equal(calls(w, "xrange"), 1);
    expect_int(w, 51, "XLEN " P "jobs:normal");
    world_free(w);
}

/* The stream is deleted, and begun again with ids that lie between those of jobs in flight, some of
 * which are written again. */
static void in_a_stream_that_was_begun_again_what_is_unknown_stays(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (int i = 2; i <= 200; i += 2)
        free(redis_server_str(w->server, "XADD " P "jobs:normal %d-1 keys k", i));
    read_all(w, 100);
    redis_server_do(w->server, "DEL " P "jobs:normal");
    for (int i = 2; i <= 90; i++) /* up to 40-1 as before, then with others */
        if (i % 2 == 0 || i > 40)
            free(redis_server_str(w->server, "XADD " P "jobs:normal %d-1 keys k", i));
    end(w, 0, 100);
    assert_int_equal(calls(w, "xtrim"), 1);
    expect_int(w, 25, "XLEN " P "jobs:normal");
    for (int i = 41; i <= 89; i += 2) {
        char *found =
            redis_server_str(w->server, "EVAL %s 1 " P "jobs:normal %d-1",
                             "return redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1][1]", i);

        assert_int_equal(strtoul(found, NULL, 10), i);
        free(found);
    }
    world_free(w);
}

/* What an earlier leader has left comes first, and this leader has not read it yet. */
static void what_an_earlier_leader_left_stays(void **state)
{
    struct world *w = world_new();

    (void)state;
    push_short(w, 20);
    read_all(w, 20);
    redis_server_do(w->server, "DEL " P "jobs:normal");
    free(redis_server_str(w->server, "XADD " P "jobs:normal 1-1 keys old"));
    for (size_t i = 0; i < 20; i++)
        free(redis_server_str(w->server, "XADD " P "jobs:normal %llu-%llu keys k",
                              (unsigned long long)w->entries[i].id.ms,
                              (unsigned long long)w->entries[i].id.seq));
    end(w, 0, 20);
    assert_int_equal(calls(w, "xtrim"), 0);
    expect_int(w, 1, "XLEN " P "jobs:normal");
    world_free(w);
}

/* A script that comes across an entry with 10,000 URLs would hold Redis for a second. */
static void a_large_entry_at_the_front_is_not_read(void **state)
{
    struct world *w = world_new();

    (void)state;
    free(push_long(w, 100000));
    push_short(w, 20);
    read_all(w, 21);
    end(w, 1, 11);
    assert_int_equal(calls(w, "xrange"), 0);
    assert_int_equal(calls(w, "xdel"), 1);
    end(w, 0, 1);
    end(w, 11, 21); /* the large one has ended */
    assert_int_equal(calls(w, "xtrim"), 1);
    assert_int_equal(calls(w, "xdel"), 0);
    expect_int(w, 0, "XLEN " P "jobs:normal");
    world_free(w);
}

static void after_a_rewind_only_what_was_read_again_is_trimmed(void **state)
{
    struct world *w = world_new();

    (void)state;
    push_short(w, 20);
    read_all(w, 20);
    queue_rewind(w->q);
    end(w, 0, 5);
    assert_int_equal(calls(w, "xrange"), 0);
    read_all(w, 15);
    end(w, 0, 15);
    assert_int_equal(calls(w, "xtrim"), 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_that_end_in_order_are_trimmed),
        cmocka_unit_test(jobs_that_end_the_other_way_round_are_trimmed_too),
        cmocka_unit_test(jobs_behind_one_that_is_open_are_deleted),
        cmocka_unit_test(in_a_stream_that_was_begun_again_what_is_unknown_stays),
        cmocka_unit_test(what_an_earlier_leader_left_stays),
        cmocka_unit_test(a_large_entry_at_the_front_is_not_read),
        cmocka_unit_test(after_a_rewind_only_what_was_read_again_is_trimmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
