/* SPDX-License-Identifier: MIT
 * Reading entries, and surviving the death of connections and servers. */
#include "queue_world.h"

static void jobs_pushed_before_the_first_start_are_read(void **state)
{
    struct redis_server *server = redis_server_start(NULL, NULL);
    struct world *w;

    (void)state;
    redis_server_do(server, "XADD " P "jobs:normal * service news keys early");
    w = world_open(server, "me");
    assert_int_equal(ask_read(w, 10, 10, 10), 0);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=early\n");
    assert_int_equal(w->entries[0].lane, LANE_NORMAL);
    assert_true(w->all);
    world_free(w);
}

static void entries_come_lane_by_lane_oldest_first(void **state)
{
    struct world *w = world_new();

    (void)state;
    push(w, "bulk", "b1");
    push(w, "normal", "n1");
    push(w, "urgent", "u1");
    push(w, "urgent", "u2");
    push(w, "bulk", "b2");
    assert_int_equal(ask_read(w, 10, 10, 10), 0);
    assert_int_equal(w->count, 5);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=u1\n");
    assert_string_equal(w->entries[1].text, "service=news\nkeys=u2\n");
    assert_string_equal(w->entries[2].text, "service=news\nkeys=n1\n");
    assert_string_equal(w->entries[3].text, "service=news\nkeys=b1\n");
    assert_string_equal(w->entries[4].text, "service=news\nkeys=b2\n");
    world_free(w);
}

static void each_lane_gives_no_more_than_was_asked_of_it(void **state)
{
    struct world *w = world_new();

    (void)state;
    for (int i = 0; i < 5; i++) {
        push(w, "urgent", "u");
        push(w, "normal", "n");
        push(w, "bulk", "b");
    }
    assert_int_equal(ask_read(w, 3, 0, 3), 0);
    assert_int_equal(w->count, 6);
    assert_int_equal(w->entries[2].lane, LANE_URGENT);
    assert_int_equal(w->entries[3].lane, LANE_BULK);
    assert_false(w->all);
    assert_int_equal(ask_read(w, 0, 2, 2), 0);
    assert_int_equal(w->count, 2 + 2);
    assert_false(w->all);
    assert_int_equal(ask_depth(w), 0);
    assert_false(w->depth[LANE_URGENT].all_read);
    assert_false(w->depth[LANE_NORMAL].all_read);
    assert_true(w->depth[LANE_BULK].all_read);
    for (int lane = 0; lane < LANE_N; lane++)
        assert_int_equal(w->depth[lane].entries, 5);
    world_free(w);
}

static void an_empty_read_returns_nothing_at_once(void **state)
{
    struct world *w = world_new();

    (void)state;
    assert_int_equal(ask_read(w, 1, 2, 3), 0);
    assert_int_equal(w->count, 0);
    assert_int_equal(ask_read(w, 5, 5, 5), 0);
    assert_int_equal(w->count, 0);
    world_free(w);
}

static void a_blocking_read_is_woken_by_any_lane(void **state)
{
    static const char *const lanes[] = {"urgent", "normal", "bulk"};
    struct world *w = world_new();

    (void)state;
    for (int i = 0; i < 3; i++) {
        int answers = w->answers;

        start_read(w, 5, 5, 5, 15000);
        assert_int_equal(ask_depth(w), 0); /* the writing connection is not blocked */
        push(w, lanes[i], "k");
        assert_int_equal(await(w, answers + 2), 0);
        assert_int_equal(w->count, 1);
        assert_int_equal(w->entries[0].lane, i);
    }
    world_free(w);
}

static void a_blocking_read_ends_after_its_time(void **state)
{
    struct world *w = world_new();
    uint64_t start = clock_mono_ns(), took;
    int answers = w->answers;

    (void)state;
    start_read(w, 5, 5, 5, 200);
    assert_int_equal(await(w, answers + 1), 0);
    took = clock_mono_ns() - start;
    assert_int_equal(w->count, 0);
    assert_in_range(took, 190 * NS_PER_MS, 20 * NS_PER_S);
    world_free(w);
}

static void a_restarted_process_reads_from_the_beginning(void **state)
{
    struct world *w = world_new(), *again;

    (void)state;
    for (int i = 0; i < 5; i++)
        push(w, "normal", "k");
    push(w, "bulk", "b");
    assert_int_equal(ask_read(w, 0, 3, 3), 0);
    assert_int_equal(w->count, 4);
    again = world_open(w->server, "the next one");
    assert_int_equal(ask_read(again, 2, 2, 2), 0);
    assert_int_equal(again->count, 3);
    assert_false(again->all);
    assert_memory_equal(&again->entries[0].id, &w->entries[0].id, sizeof(struct entry_id));
    assert_int_equal(ask_read(again, 4, 4, 4), 0);
    assert_int_equal(again->count, 3);
    assert_true(again->all);
    assert_memory_equal(&again->entries[0].id, &w->entries[2].id, sizeof(struct entry_id));
    world_close(again);
    world_free(w);
}

static void nothing_seen_is_read_again_until_it_is_rewound(void **state)
{
    struct world *w = world_new();

    (void)state;
    push(w, "normal", "k");
    assert_int_equal(ask_read(w, 1, 1, 1), 0);
    assert_int_equal(ask_read(w, 1, 3, 1), 0);
    assert_int_equal(w->count, 0);
    assert_true(w->all);
    queue_rewind(w->q);
    assert_int_equal(ask_read(w, 1, 1, 1), 0);
    assert_int_equal(w->count, 1);
    assert_false(w->all);
    world_free(w);
}

static void a_deleted_entry_is_not_read(void **state)
{
    struct world *w = world_new();

    (void)state;
    push(w, "normal", "k");
    push(w, "normal", "l");
    assert_int_equal(ask_read(w, 0, 9, 0), 0);
    redis_server_do(w->server, "XDEL " P "jobs:normal %llu-%llu",
                    (unsigned long long)w->entries[0].id.ms,
                    (unsigned long long)w->entries[0].id.seq);
    queue_rewind(w->q);
    assert_int_equal(ask_read(w, 0, 9, 0), 0);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=l\n");
    world_free(w);
}

/* The command has left our buffers but may not have arrived yet. */
static void wait_until_blocked(struct world *w)
{
    bool blocked = false;

    while (!blocked) {
        struct redisReply *r = redis_server_try(w->server, "CLIENT LIST TYPE normal");

        blocked = strstr(r->str, "cmd=xread ") && strstr(r->str, "flags=b");
        freeReplyObject(r);
    }
}

/* The connection ends while the reply with the entries is on its way. */
static void entries_of_a_swallowed_reply_are_read_again(void **state)
{
    struct world *w = world_new();
    int answers;

    (void)state;
    push(w, "normal", "seen");
    assert_int_equal(ask_read(w, 5, 5, 5), 0);
    answers = w->answers;
    start_read(w, 5, 5, 5, 15000);
    assert_int_equal(ask_depth(w), 0);
    wait_until_blocked(w);
    /* executed and disconnected in one transaction, so the reply is never sent */
    redis_server_do(w->server, "MULTI");
    redis_server_do(w->server, "XADD " P "jobs:normal * service news keys swallowed");
    redis_server_do(w->server, "XADD " P "jobs:bulk * service news keys another");
    redis_server_do(w->server, "CLIENT KILL TYPE normal SKIPME yes");
    redis_server_do(w->server, "EXEC");
    assert_int_equal(await(w, answers + 2), -ENOTCONN);
    run_until(w, w->ups == 2);
    assert_int_equal(w->downs, 1);
    assert_int_equal(ask_read(w, 5, 5, 5), 0);
    assert_int_equal(w->count, 2);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=swallowed\n");
    world_free(w);
}

static void a_killed_and_restarted_redis_loses_nothing(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    int answers;

    (void)state;
    for (int i = 0; i < 10; i++)
        push(w, "normal", "k");
    assert_int_equal(ask_read(w, 4, 4, 4), 0);
    assert_int_equal(w->count, 4);
    s = purged(&w->entries[0]);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    answers = w->answers;
    start_read(w, 5, 0, 0, 15000);
    redis_server_kill(w->server);
    assert_int_equal(await(w, answers + 1), -ENOTCONN);
    assert_int_equal(ask_settle(w, &s, 1), -ENOTCONN);
    run_until(w, w->downs == 1);
    redis_server_restart(w->server);
    run_until(w, w->ups == 2);
    assert_int_equal(w->downs, 1);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    assert_int_equal(ask_read(w, 50, 50, 50), 0);
    assert_int_equal(w->count, 6);
    queue_rewind(w->q);
    assert_int_equal(ask_read(w, 50, 50, 50), 0);
    assert_int_equal(w->count, 9);
    world_free(w);
}

static void forgotten_scripts_are_taught_again(void **state)
{
    struct world *w = world_new();

    (void)state;
    redis_server_do(w->server, "SCRIPT FLUSH");
    assert_int_equal(ask_depth(w), 0);
    assert_int_equal(ask_lease(w, 5000, NULL, "{}"), 0);
    assert_true(w->lead.leading);
    redis_server_do(w->server, "SCRIPT FLUSH");
    assert_int_equal(ask_lease(w, 5000, NULL, "{}"), 0);
    assert_true(w->lead.leading);
    assert_false(w->lead.taken_over);
    world_free(w);
}

static void a_flushed_redis_is_read_on(void **state)
{
    struct world *w = world_new();
    int answers;

    (void)state;
    redis_server_do(w->server, "XADD " P "jobs:normal 5-1 service news keys before");
    assert_int_equal(ask_read(w, 5, 5, 5), 0);
    redis_server_do(w->server, "FLUSHALL");
    redis_server_do(w->server, "XADD " P "jobs:normal 5-2 service news keys after");
    assert_int_equal(ask_read(w, 1, 5, 5), 0);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=after\n");
    /* while a read is waiting */
    answers = w->answers;
    start_read(w, 5, 5, 5, 15000);
    assert_int_equal(ask_depth(w), 0);
    redis_server_do(w->server, "FLUSHALL");
    push(w, "urgent", "new");
    assert_int_equal(await(w, answers + 2), 0);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=new\n");
    world_free(w);
}

/* The ids of a new stream may be lower than the last id that was read. */
static void a_stream_that_was_made_anew_is_noticed(void **state)
{
    struct world *w = world_new();

    (void)state;
    push(w, "normal", "k");
    assert_int_equal(ask_read(w, 5, 5, 5), 0);
    assert_int_equal(ask_depth(w), 0);
    assert_false(w->depth[LANE_NORMAL].anew);
    redis_server_do(w->server, "DEL " P "jobs:normal");
    redis_server_do(w->server, "XADD " P "jobs:normal 5-1 service news keys low");
    assert_int_equal(ask_depth(w), 0);
    assert_true(w->depth[LANE_NORMAL].anew);
    assert_true(w->depth[LANE_NORMAL].all_read);
    assert_int_equal(w->depth[LANE_NORMAL].entries, 1);
    assert_false(w->depth[LANE_BULK].anew);
    world_free(w);
}

static void a_stream_key_of_another_type_is_an_outage_with_its_reason(void **state)
{
    struct redis_server *server = redis_server_start(NULL, NULL);
    struct redis_address a;
    struct queue_callbacks cb = {.up = world_on_up, .down = world_on_down};
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct error err;

    (void)state;
    redis_server_do(server, "SET " P "jobs:bulk surprise");
    assert_int_equal(redis_address_parse(redis_server_unix_url(server), &a, &err), 0);
    w->server = server;
    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->q = queue_new(w->loop, &a, "main", "me", &cb, w);
    redis_address_deinit(&a);
    run_until(w, w->downs == 1);
    assert_non_null(strstr(w->why, "WRONGTYPE"));
    redis_server_do(server, "DEL " P "jobs:bulk");
    run_until(w, w->ups == 1);
    assert_int_equal(w->downs, 1);
    world_free(w);
}

/* A machine that dies without closing its connections leaves a blocked read behind. */
static void a_read_left_behind_swallows_nothing(void **state)
{
    struct world *w = world_new(), *next;
    int answers;

    (void)state;
    next = world_open(w->server, "next");
    answers = w->answers;
    start_read(w, 1, 1, 1, 15000);
    assert_int_equal(ask_depth(w), 0);
    wait_until_blocked(w);
    push(w, "normal", "k");
    assert_int_equal(await(w, answers + 2), 0);
    assert_int_equal(w->count, 1);
    assert_int_equal(ask_read(next, 1, 1, 1), 0);
    assert_int_equal(next->count, 1);
    world_close(next);
    world_free(w);
}

static void the_server_says_what_it_is(void **state)
{
    struct world *w = world_new();
    int answers = w->answers;

    (void)state;
    queue_server(w->q, world_on_server, w);
    assert_int_equal(await(w, answers + 1), 0);
    assert_true(w->info.version[0] >= '6');
    assert_string_equal(w->info.maxmemory_policy, "noeviction");
    assert_int_equal(w->info.maxmemory, 0);
    assert_true(w->info.aof_known);
    assert_true(w->info.aof);
    redis_server_do(w->server, "CONFIG SET maxmemory 1gb maxmemory-policy allkeys-lru");
    redis_server_do(w->server, "CONFIG SET appendonly no");
    queue_server(w->q, world_on_server, w);
    assert_int_equal(await(w, answers + 2), 0);
    assert_string_equal(w->info.maxmemory_policy, "allkeys-lru");
    assert_int_equal(w->info.maxmemory, 1 << 30);
    assert_false(w->info.aof);
    world_free(w);
}

static void closing_answers_what_is_outstanding(void **state)
{
    struct world *w = world_new();
    struct redis_server *server = w->server;
    int answers = w->answers;
    struct seen s = {.id = {5, 5}};
    struct queue_settle item = purged(&s);

    (void)state;
    start_read(w, 1, 2, 1, 15000);
    queue_depth(w->q, world_on_depth, w);
    queue_settle(w->q, &item, 1, &(struct queue_keep){.receipt_ttl_s = 60}, world_on_done, w);
    queue_close(w->q, world_on_closed, w);
    assert_int_equal(w->answers, answers);
    run_until(w, w->closed);
    assert_int_equal(w->answers, answers + 3);
    assert_int_equal(w->err, -ENOTCONN);
    timer_close(w->patience);
    loop_run(w->loop);
    loop_free(w->loop);
    free(w);
    redis_server_stop(server);
}

/* -- not enough memory -- */

static void what_there_was_no_room_for_is_read_again_in_order(void **state)
{
    struct world *w = world_new();

    (void)state;
    push(w, "normal", "a");
    push(w, "normal", "b");
    push(w, "normal", "c");
    push(w, "bulk", "d");
    w->take_most = 1;
    assert_int_equal(ask_read(w, 9, 9, 9), 0);
    assert_int_equal(w->count, 1);
    assert_false(w->all);
    w->take_most = SIZE_MAX;
    assert_int_equal(ask_read(w, 9, 9, 9), 0);
    assert_int_equal(w->count, 3);
    assert_true(w->all);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=b\n");
    assert_string_equal(w->entries[1].text, "service=news\nkeys=c\n");
    assert_string_equal(w->entries[2].text, "service=news\nkeys=d\n");
    world_free(w);
}

static void a_large_entry_waits_until_there_is_room_and_the_other_lanes_go_on(void **state)
{
    struct world *w = world_new();
    char *large = alloc_zeroed(1, 300001);

    (void)state;
    memset(large, 'k', 300000);
    redis_server_do(w->server, "XADD " P "jobs:normal * keys %s", large);
    push(w, "normal", "behind");
    push(w, "bulk", "other");
    w->room_bytes = 100000;
    assert_int_equal(ask_read(w, 9, 9, 9), 0);
    assert_int_equal(w->count, 1);
    assert_string_equal(w->entries[0].text, "service=news\nkeys=other\n");
    assert_in_range(queue_reading_bytes(w->q), 0, 200000);
    w->room_bytes = 1000000;
    assert_int_equal(ask_read(w, 9, 9, 9), 0);
    assert_int_equal(w->count, 2);
    assert_int_equal(w->entries[0].bytes, 4 + 300000 + 2 * 16);
    assert_false(w->entries[0].oversized);
    assert_in_range(queue_reading_bytes(w->q), 0, 200000);
    free(large);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_pushed_before_the_first_start_are_read),
        cmocka_unit_test(entries_come_lane_by_lane_oldest_first),
        cmocka_unit_test(each_lane_gives_no_more_than_was_asked_of_it),
        cmocka_unit_test(an_empty_read_returns_nothing_at_once),
        cmocka_unit_test(a_blocking_read_is_woken_by_any_lane),
        cmocka_unit_test(a_blocking_read_ends_after_its_time),
        cmocka_unit_test(a_restarted_process_reads_from_the_beginning),
        cmocka_unit_test(nothing_seen_is_read_again_until_it_is_rewound),
        cmocka_unit_test(a_deleted_entry_is_not_read),
        cmocka_unit_test(what_there_was_no_room_for_is_read_again_in_order),
        cmocka_unit_test(a_large_entry_waits_until_there_is_room_and_the_other_lanes_go_on),
        cmocka_unit_test(entries_of_a_swallowed_reply_are_read_again),
        cmocka_unit_test(a_killed_and_restarted_redis_loses_nothing),
        cmocka_unit_test(forgotten_scripts_are_taught_again),
        cmocka_unit_test(a_flushed_redis_is_read_on),
        cmocka_unit_test(a_stream_that_was_made_anew_is_noticed),
        cmocka_unit_test(a_stream_key_of_another_type_is_an_outage_with_its_reason),
        cmocka_unit_test(a_read_left_behind_swallows_nothing),
        cmocka_unit_test(the_server_says_what_it_is),
        cmocka_unit_test(closing_answers_what_is_outstanding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
