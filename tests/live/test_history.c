/* SPDX-License-Identifier: MIT
 * The history: what an entry of it says, and what goes when there is too much. */
#include "queue_world.h"

#include "scripts.h"

#define PURGE "\"keys\":[\"k\"],\"service\":\"news\""

static struct world *world_with_history(uint32_t jobs)
{
    struct world *w = world_new();

    w->keep.history_jobs = jobs;
    w->keep.history_ttl_s = 3600;
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

/* The line is made of the entry, even if that is too large for a script. */
static void the_line_says_who_pushed_the_job(void **state)
{
    struct world *w = world_with_history(1000);
    char *large = alloc_zeroed(1, 300001), *command;
    struct queue_settle s;

    (void)state;
    have_jobs(w, 1, "keys k by cms dead_by other ref r");
    s = ended(&w->entries[0], OUTCOME_PURGED);
    s.reason = s.target = SPAN("");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"purged\",\"ref\":\"r\",\"scope\":[\"key\"],"
                   "\"purge\":{\"keys\":[\"k\"],\"by\":\"cms\"}}");
    expect_int(w, 1, "DEL " P "history");
    have_jobs(w, 1, "keys k dead_by cms");
    s = ended(&w->entries[0], OUTCOME_PURGED);
    s.reason = s.target = SPAN("");
    s.purge = SPAN("\"sent\":5,\"by\":\"as the daemon knows\"");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"purged\",\"purge\":{\"keys\":[\"k\"],\"sent\":5,"
                   "\"by\":\"as the daemon knows\"}}");
    expect_int(w, 1, "DEL " P "history");
    memset(large, 'k', 300000);
    command = alloc_printf("keys %s dead_by cms", large);
    have_jobs(w, 1, command);
    assert_true(w->entries[0].large);
    s = ended(&w->entries[0], OUTCOME_DEAD);
    s.purge = SPAN("\"sent\":5");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"dead\",\"reason\":\"because\",\"scope\":[\"large\"],"
                   "\"purge\":{\"sent\":5,\"by\":\"cms\"}}");
    free(command);
    free(large);
    world_free(w);
}

static void an_entry_that_is_never_read_as_a_whole_says_who_pushed_it(void **state)
{
    const struct span kept[] = {SPAN("dead_by"), SPAN("cms"), SPAN("service"), SPAN("news")};
    struct world *w = world_with_history(1000);
    struct queue_settle s;

    (void)state;
    have_jobs(w, 1, "keys k dead_by cms");
    s = ended(&w->entries[0], OUTCOME_DEAD);
    s.oversized = true;
    s.fields = kept;
    s.fields_count = array_len(kept);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_line(w, "\"state\":\"dead\",\"targets\":0,\"reason\":\"because\",\"scope\":"
                   "[\"large\"],\"purge\":{\"by\":\"cms\"}}");
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

/* -- receipts in the history -- */

static struct world *world_with_receipts(void)
{
    struct world *w = world_with_history(1000);

    w->keep.inside = true;
    return w;
}

/* The caller frees it. "": there is none. */
static char *found(struct world *w, const char *job)
{
    struct redisReply *reply = redis_server_try(w->server, "EVAL %s 1 " P "history %s",
                                                scripts[SCRIPT_RECEIPTS].text, job);
    char *text;

    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 1);
    text = alloc_str(reply->element[0]->str ? reply->element[0]->str : "");
    freeReplyObject(reply);
    return text;
}

/* `rest` follows the time. */
static void expect_found(struct world *w, const char *job, const char *state, const char *rest)
{
    char *text = found(w, job);
    char *head = alloc_printf("{\"job\":\"%s\",\"state\":\"%s\",\"at\":", job, state);

    if (strncmp(text, head, strlen(head)) != 0)
        fail_msg("%s instead of %s", text, head);
    assert_string_equal(text + strlen(head) + 13, rest);
    free(head);
    free(text);
}

static void expect_not_found(struct world *w, const char *job)
{
    char *text = found(w, job);

    assert_string_equal(text, "");
    free(text);
}

/* Adds a job with this id, as if it had been accepted then. */
static void have_id(struct world *w, const char *id, const char *fields)
{
    char *command = alloc_printf("XADD " P "jobs:normal %s %s", id, fields);

    free(redis_server_str(w->server, command));
    free(command);
}

static void a_receipt_in_the_history_says_what_a_key_says(void **state)
{
    struct world *w = world_with_receipts();
    struct queue_settle s[3];
    char *jobs[3], *key;

    (void)state;
    have_jobs(w, 3, "keys k ref \"r");
    for (int i = 0; i < 3; i++)
        jobs[i] = job_id(&w->entries[i]);
    s[0] = named(&w->entries[0]);
    s[1] = ended(&w->entries[1], OUTCOME_EXPIRED);
    s[2] = s[1];
    s[2].id = w->entries[2].id;
    assert_int_equal(ask_settle(w, s, 2), 0);
    expect_found(w, jobs[0], "purged", ",\"targets\":1}");
    expect_int(w, 0, "EXISTS " P "receipt:%s", jobs[0]);
    expect_int(w, 0, "EXISTS " P "receipt:%s", jobs[1]);
    w->keep.inside = false;
    assert_int_equal(ask_settle(w, s + 2, 1), 0);
    key = redis_server_str(w->server, "GET " P "receipt:%s", jobs[2]);
    expect_found(w, jobs[1], "expired", strstr(key, ",\"targets\""));
    expect_not_found(w, jobs[2]);
    free(key);
    for (int i = 0; i < 3; i++)
        free(jobs[i]);
    world_free(w);
}

/* `by` as JSON; NULL: the receipt does not say it. */
static void expect_pusher(struct world *w, const struct seen *entry, const char *by)
{
    char *job = job_id(entry),
         *text = w->keep.inside ? found(w, job)
                                : redis_server_str(w->server, "GET " P "receipt:%s", job),
         *member = strstr(text, ",\"by\":");

    if (!*text || !by != !member || (by && strncmp(member + 6, by, strlen(by)) != 0))
        fail_msg("not %s: %s", by ? by : "without a name", text);
    free(text);
    free(job);
}

static void settle_jobs_of_several(struct world *w)
{
    static const char *const purges[] = {
        PURGE,
        PURGE ",\"by\":\"cms\"",
        "\"by\":\"cms\"",
        "\"keys\":[\"\\\"by\\\":\\\"x\\\"\"],\"by\":\"a \\\"b\\\" \\\\\"",
        PURGE,
        PURGE ",\"by\":\"cms\""};
    struct queue_settle s[array_len(purges) + 1];

    for (size_t i = 0; i < array_len(purges); i++)
        have_id(w, "*", "keys k");
    have_id(w, "*", "keys k ref r by cms");
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    assert_int_equal(w->count, array_len(s));
    for (size_t i = 0; i < array_len(purges); i++) {
        s[i] = named(&w->entries[i]);
        s[i].purge = span_str(purges[i]);
    }
    s[6] = ended(&w->entries[6], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, s, array_len(s)), 0);
}

static void receipts_say_who_pushed_the_job(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct world *w = world_with_receipts();

        w->keep.inside = way == 0;
        w->keep.history_jobs = way == 2 ? 0 : 1000;
        settle_jobs_of_several(w);
        expect_pusher(w, &w->entries[0], NULL);
        expect_pusher(w, &w->entries[1], "\"cms\"}");
        expect_pusher(w, &w->entries[2], "\"cms\"}");
        expect_pusher(w, &w->entries[3], "\"a \\\"b\\\" \\\\\"}");
        expect_pusher(w, &w->entries[4], NULL);
        expect_pusher(w, &w->entries[5], "\"cms\"}");
        expect_pusher(w, &w->entries[6], "\"cms\"}");
        world_free(w);
    }
}

static void jobs_of_many_seconds_are_all_found(void **state)
{
    static const char *const ids[] = {"1700000000000-0", "1700000003999-7", "1700000004000-0",
                                      "1700000500000-3", "1700090000001-0"};
    struct world *w = world_with_receipts();

    (void)state;
    for (size_t i = 0; i < array_len(ids); i++)
        have_id(w, ids[i], "keys k");
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    settle_named(w);
    expect_int(w, 1, "XLEN " P "history");
    expect_int(w, 1, "ZCARD " P "history:at:1700000000");
    expect_int(w, 1, "ZCARD " P "history:at:1700000004");
    assert_in_range(redis_server_int(w->server, "TTL " P "history:at:1700090000"), 58, 60);
    for (size_t i = 0; i < array_len(ids); i++) {
        char *job = alloc_printf("normal-%s", ids[i]);

        expect_found(w, job, "purged", ",\"targets\":1}");
        free(job);
    }
    expect_not_found(w, "normal-1700000001000-0");
    expect_not_found(w, "bulk-1700000000000-0");
    expect_not_found(w, "normal-1700000000000-0+r");
    world_free(w);
}

static void looked_up_jobs_of_many_seconds_are_all_found(void **state)
{
    static const char *const ids[] = {"1700000000007-0", "1700000003000-7", "1700000500000-3"};
    struct world *w = world_with_receipts();
    struct queue_settle s[array_len(ids)];

    (void)state;
    for (size_t i = 0; i < array_len(ids); i++)
        have_id(w, ids[i], "keys k");
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    for (size_t i = 0; i < array_len(ids); i++)
        s[i] = ended(&w->entries[array_len(ids) - 1 - i], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, s, array_len(ids)), 0);
    for (size_t i = 0; i < array_len(ids); i++) {
        char *job = alloc_printf("normal-%s", ids[i]);

        expect_found(w, job, "dead", ",\"targets\":1,\"reason\":\"because\",\"scope\":[\"key\"]}");
        free(job);
    }
    world_free(w);
}

static void what_only_hands_write_has_a_key(void **state)
{
    struct world *w = world_with_receipts();
    struct queue_settle s;

    (void)state;
    have_id(w, "1700000000000-9999999999999", "keys k");
    have_id(w, "1700000000001-0", "keys k job mine");
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    s = named(&w->entries[0]);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    s = ended(&w->entries[1], OUTCOME_EXPIRED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_int(w, 1, "EXISTS " P "receipt:normal-1700000000000-9999999999999");
    expect_int(w, 1, "EXISTS " P "receipt:mine");
    expect_int(w, 2, "XLEN " P "history");
    world_free(w);
}

/* A client has cancelled the second of three jobs, while the leader had already sent it. */
static void what_was_cancelled_is_not_purged_by_an_unsure_write(void **state)
{
    struct world *w = world_with_receipts();
    char *cancelled, *purged_job;

    (void)state;
    have_jobs(w, 3, "keys k");
    cancelled = job_id(&w->entries[1]);
    purged_job = job_id(&w->entries[2]);
    redis_server_do(w->server,
                    "EVAL %s 8 " P "receipt:%s " P "postponed " P "postponed:jobs " P "places " P
                    "settled " P "cancelled " P "jobs:normal " P
                    "history %s {\"job\":\"%s\",\"state\":\"cancelled\",\"at\":1234567890123} 60 "
                    "normal %s 1000:3600:history %s",
                    scripts[SCRIPT_CANCEL_JOB].text, cancelled, cancelled, cancelled,
                    cancelled + strlen("normal-"), "");
    expect_found(w, cancelled, "cancelled", "}");
    settle_named(w);
    expect_found(w, cancelled, "cancelled", "}");
    expect_found(w, purged_job, "purged", ",\"targets\":1}");
    expect_int(w, 0, "EXISTS " P "receipt:%s", cancelled);
    free(cancelled);
    free(purged_job);
    world_free(w);
}

static void what_a_stranger_writes_there_breaks_nothing(void **state)
{
    static const char *const lines[] = {
        "", "x", "{\"job\":\"normal-1700000000000-0\",\"state\":", "\n\n{\"job\"", "{}"};
    struct world *w = world_with_receipts();

    (void)state;
    for (size_t i = 0; i < array_len(lines); i++)
        redis_server_do(w->server, "XADD " P "history 5-%d v 1 jobs %s", (int)i + 1, lines[i]);
    redis_server_do(w->server, "XADD " P "history 6-0 a b");
    for (int i = 1; i <= 5; i++)
        redis_server_do(w->server, "ZADD " P "history:at:1700000000 7 1700000000000-0%b5-%d", " ",
                        (size_t)1, i);
    redis_server_do(w->server, "ZADD " P "history:at:1700000000 8 1700000000000-0%b6-0", " ",
                    (size_t)1);
    redis_server_do(w->server, "ZADD " P "history:at:1700000000 9 x");
    redis_server_do(w->server, "ZADD " P "history:at:1700000000 inf 1700000000000-0%b9-9", " ",
                    (size_t)1);
    expect_not_found(w, "normal-1700000000000-0");
    have_id(w, "1700000000000-0", "keys k");
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    settle_named(w);
    expect_found(w, "normal-1700000000000-0", "purged", ",\"targets\":1}");
    world_free(w);
}

/* Jobs for the same few targets, pushed by the thousand, end in entries whose ranges are all alike.
 */
static void a_job_is_found_behind_many_entries_that_might_have_it(void **state)
{
    struct world *w = world_with_receipts();

    (void)state;
    redis_server_do(w->server, "EVAL %s 2 " P "history " P "history:at:1700000000",
                    "for i = 1, 15 do local e = redis.call('XADD', KEYS[1], '*', 'v', '1', 'n', 1, "
                    "'jobs', i < 15 and 'x' or "
                    "'{\"job\":\"normal-1700000000000-5\",\"state\":\"purged\",\"purge\":{}}\\n') "
                    "redis.call('ZADD', KEYS[2], i * 1099511627776, '1700000000000-0 ' .. e) end");
    expect_found(w, "normal-1700000000000-5", "purged", ",\"targets\":1}");
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
        cmocka_unit_test(the_line_says_who_pushed_the_job),
        cmocka_unit_test(an_entry_that_is_never_read_as_a_whole_says_who_pushed_it),
        cmocka_unit_test(a_write_that_is_repeated_adds_nothing),
        cmocka_unit_test(a_write_of_jobs_of_which_some_are_gone_is_unsure),
        cmocka_unit_test(the_oldest_jobs_go_when_there_are_too_many),
        cmocka_unit_test(a_history_whose_count_is_lost_is_limited_again),
        cmocka_unit_test(old_jobs_go),
        cmocka_unit_test(a_key_that_is_no_history_does_not_stop_the_dispatch),
        cmocka_unit_test(without_free_memory_nothing_is_added),
        cmocka_unit_test(a_receipt_in_the_history_says_what_a_key_says),
        cmocka_unit_test(receipts_say_who_pushed_the_job),
        cmocka_unit_test(jobs_of_many_seconds_are_all_found),
        cmocka_unit_test(looked_up_jobs_of_many_seconds_are_all_found),
        cmocka_unit_test(what_only_hands_write_has_a_key),
        cmocka_unit_test(what_was_cancelled_is_not_purged_by_an_unsure_write),
        cmocka_unit_test(what_a_stranger_writes_there_breaks_nothing),
        cmocka_unit_test(a_job_is_found_behind_many_entries_that_might_have_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
