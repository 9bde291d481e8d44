/* SPDX-License-Identifier: MIT
 * The end of jobs: receipts, dead letters, postponed jobs. */
#include "queue_world.h"

static const char odd_key[] = "a\0b\r\n\xff\xfe\"\\ \xc3\xa4";

static void have_one(struct world *w, const char *fields)
{
    char *command = alloc_printf("XADD " P "jobs:normal * %s", fields);

    free(redis_server_str(w->server, command));
    free(command);
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    assert_int_equal(w->count, 1);
}

static void a_purged_job_leaves_a_receipt_and_nothing_else(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    char *job;
    json_t *r;

    (void)state;
    have(w, "urgent", 1);
    s = purged(&w->entries[0]);
    s.targets = 7;
    assert_int_equal(ask_settle(w, &s, 1), 0);
    job = job_id(&w->entries[0]);
    expect_receipt(w, job, "purged");
    r = receipt_of(w, job);
    assert_int_equal(json_integer_value(json_object_get(r, "targets")), 7);
    json_decref(r);
    assert_in_range(redis_server_int(w->server, "TTL " P "receipt:%s", job), 58, 60);
    expect_int(w, 0, "XLEN " P "jobs:urgent");
    assert_int_equal(ask_depth(w), 0);
    assert_int_equal(w->depth[LANE_URGENT].entries, 0);
    free(job);
    world_free(w);
}

static void many_purged_jobs_of_all_lanes_end_in_one_call(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[ENTRIES_MAX];

    (void)state;
    for (int i = 0; i < 513; i++)
        push(w, "normal", "k");
    for (int i = 0; i < 3; i++)
        push(w, "bulk", "k");
    push(w, "urgent", "k");
    assert_int_equal(ask_read(w, 1000, 1000, 1000), 0);
    assert_int_equal(w->count, 517);
    for (size_t i = 0; i < w->count; i++)
        s[i] = purged(&w->entries[i]);
    assert_int_equal(ask_settle(w, s, w->count), 0);
    assert_int_equal(ask_depth(w), 0);
    for (int lane = 0; lane < LANE_N; lane++)
        assert_int_equal(w->depth[lane].entries, 0);
    for (size_t i = 0; i < w->count; i++) {
        char *job = job_id(&w->entries[i]);

        expect_int(w, 1, "EXISTS " P "receipt:%s", job);
        free(job);
    }
    world_free(w);
}

static void without_receipts_nothing_is_left(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[3];

    (void)state;
    have(w, "bulk", 3);
    for (int i = 0; i < 3; i++) {
        s[i] = purged(&w->entries[i]);
        s[i].receipt = false;
    }
    assert_int_equal(ask_settle(w, s, 3), 0);
    assert_int_equal(ask_depth(w), 0);
    assert_int_equal(w->depth[LANE_BULK].entries, 0);
    expect_int(w, 0, "EXISTS " P "receipt:bulk-0-0 " P "dead " P "postponed");
    expect_int(w, 1, "DBSIZE"); /* only the stream */
    world_free(w);
}

/* Somebody deletes entries while their purges are in flight, and writes the reason for one of them.
 */
static void a_receipt_that_is_there_is_not_written_over(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[3];
    char *job[3], *text;

    (void)state;
    have(w, "normal", 3);
    for (int i = 0; i < 3; i++) {
        s[i] = purged(&w->entries[i]);
        job[i] = job_id(&w->entries[i]);
    }
    for (int i = 0; i < 2; i++)
        redis_server_do(w->server, "XDEL " P "jobs:normal %s", job[i] + strlen("normal-"));
    redis_server_do(w->server, "SET " P "receipt:%s cancelled", job[0]);
    assert_int_equal(ask_settle(w, s, 3), 0);
    text = redis_server_str(w->server, "GET " P "receipt:%s", job[0]);
    assert_string_equal(text, "cancelled");
    free(text);
    for (int i = 1; i < 3; i++)
        expect_receipt(w, job[i], "purged");
    assert_in_range(redis_server_int(w->server, "TTL " P "receipt:%s", job[1]), 58, 60);
    for (int i = 0; i < 3; i++)
        free(job[i]);
    world_free(w);
}

static void settling_twice_changes_nothing_the_second_time(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[4];
    char *job;

    (void)state;
    have(w, "normal", 4);
    s[0] = purged(&w->entries[0]);
    s[1] = ended(&w->entries[1], OUTCOME_DEAD);
    s[2] = ended(&w->entries[2], OUTCOME_LATER);
    s[2].due_ms = 5;
    s[3] = ended(&w->entries[3], OUTCOME_EXPIRED);
    assert_int_equal(ask_settle(w, s, 4), 0);
    job = job_id(&w->entries[1]);
    for (int i = 0; i < 4; i++) {
        s[i].outcome = i % 2 ? OUTCOME_PURGED : OUTCOME_DEAD;
        s[i].plain = i % 2;
    }
    assert_int_equal(ask_settle(w, s, 4), 0);
    expect_receipt(w, job, "dead");
    expect_int(w, 1, "XLEN " P "dead");
    expect_int(w, 1, "ZCARD " P "postponed");
    expect_int(w, 0, "XLEN " P "jobs:normal");
    free(job);
    world_free(w);
}

/* Some jobs of a batch have ended before. They keep their receipts, and the others get theirs. */
static void a_batch_that_ended_in_part_is_completed(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[3];
    char *job;

    (void)state;
    have(w, "normal", 3);
    for (int i = 0; i < 3; i++)
        s[i] = purged(&w->entries[i]);
    s[1] = ended(&w->entries[1], OUTCOME_CANCELLED);
    assert_int_equal(ask_settle(w, &s[1], 1), 0);
    s[1] = purged(&w->entries[1]);
    assert_int_equal(ask_settle(w, s, 3), 0);
    for (int i = 0; i < 3; i++) {
        job = job_id(&w->entries[i]);
        expect_receipt(w, job, i == 1 ? "cancelled" : "purged");
        free(job);
    }
    expect_int(w, 0, "XLEN " P "jobs:normal");
    world_free(w);
}

static void a_receipt_carries_ref_and_reason(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    char *job;

    (void)state;
    have_one(w, "keys k ref article/17");
    s = ended(&w->entries[0], OUTCOME_EXPIRED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    job = job_id(&w->entries[0]);
    expect_receipt(w, job, "expired");
    expect_receipt_word(w, job, "ref", "article/17");
    expect_receipt_word(w, job, "reason", "because");
    free(job);
    world_free(w);
}

/* Bytes that are not UTF-8 are read as Latin-1, so that the receipt is always valid JSON. */
static void any_ref_makes_a_valid_receipt(void **state)
{
    static const struct {
        const char *ref;
        size_t n;
        const char *json;
    } cases[] = {
        {"plain", 5, "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xe4", 1, "\xc3\xa4"},
        {"a\"b\\c\n\x01\x7f", 8, "a\"b\\c\n\x01\x7f"},
        {"\xed\xa0\x80", 3, "\xc3\xad\xc2\xa0\xc2\x80"}, /* a surrogate */
        {"\xc0\xaf", 2, "\xc3\x80\xc2\xaf"},             /* overlong */
        {"\xf4\x90\x80\x80", 4, "\xc3\xb4\xc2\x90\xc2\x80\xc2\x80"},
        {"x\xe2\x82", 3, "x\xc3\xa2\xc2\x82"}, /* truncated */
        {"]<>[^%-]", 8, "]<>[^%-]"},
    };
    struct world *w = world_new();

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct queue_settle s;
        char *job;

        free(redis_server_str(w->server, "XADD " P "jobs:normal * keys k ref %b", cases[i].ref,
                              cases[i].n));
        assert_int_equal(ask_read(w, 0, 1, 0), 0);
        s = ended(&w->entries[0], OUTCOME_DEAD);
        s.reason = span_of(cases[i].ref, cases[i].n);
        assert_int_equal(ask_settle(w, &s, 1), 0);
        job = job_id(&w->entries[0]);
        expect_receipt_word(w, job, "ref", cases[i].json);
        expect_receipt_word(w, job, "reason", cases[i].json);
        free(job);
    }
    world_free(w);
}

static void a_nul_in_a_ref_makes_a_valid_receipt(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    char *job, *text;

    (void)state;
    free(redis_server_str(w->server, "XADD " P "jobs:normal * keys k ref %b", "a\0b", (size_t)3));
    assert_int_equal(ask_read(w, 0, 1, 0), 0);
    s = ended(&w->entries[0], OUTCOME_PURGED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    job = job_id(&w->entries[0]);
    text = redis_server_str(w->server, "GET " P "receipt:%s", job);
    assert_non_null(strstr(text, "\"a\\u0000b\""));
    free(text);
    free(job);
    world_free(w);
}

static void expect_bytes(const struct redisReply *r, const char *p, size_t n)
{
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    assert_int_equal(r->len, n);
    assert_memory_equal(r->str, p, n);
}

static void a_dead_letter_holds_the_fields_and_the_reason(void **state)
{
    struct world *w = world_new();
    struct redisReply *r, *f;
    struct queue_settle s;
    char *job;

    (void)state;
    free(redis_server_str(w->server, "XADD " P "jobs:normal * url %b url %s ref r", odd_key,
                          sizeof(odd_key), "second"));
    assert_int_equal(ask_read(w, 0, 1, 0), 0);
    s = ended(&w->entries[0], OUTCOME_DEAD);
    s.target = span_of(odd_key, sizeof(odd_key));
    assert_int_equal(ask_settle(w, &s, 1), 0);
    job = job_id(&w->entries[0]);
    r = redis_server_try(w->server, "XRANGE " P "dead - +");
    assert_int_equal(r->elements, 1);
    f = r->element[0]->element[1];
    assert_int_equal(f->elements, 6 + 8);
    expect_bytes(f->element[0], "url", 3);
    expect_bytes(f->element[1], odd_key, sizeof(odd_key));
    expect_bytes(f->element[3], "second", 6);
    expect_bytes(f->element[6], "dead_reason", 11);
    expect_bytes(f->element[7], "because", 7);
    expect_bytes(f->element[8], "dead_job", 8);
    expect_bytes(f->element[9], job, strlen(job));
    expect_bytes(f->element[10], "dead_at", 7);
    expect_bytes(f->element[12], "dead_target", 11);
    expect_bytes(f->element[13], odd_key, sizeof(odd_key));
    freeReplyObject(r);
    expect_receipt(w, job, "dead");
    expect_receipt_word(w, job, "ref", "r");
    free(job);
    world_free(w);
}

static void later_returns_byte_exact_under_its_first_id(void **state)
{
    struct world *w = world_new();
    struct redisReply *r, *f;
    struct queue_settle s;
    char *job;

    (void)state;
    free(redis_server_str(w->server, "XADD " P "jobs:normal * keys %b not_before 77", odd_key,
                          sizeof(odd_key)));
    assert_int_equal(ask_read(w, 0, 1, 0), 0);
    job = job_id(&w->entries[0]);
    for (int round = 0; round < 2; round++) { /* the second entry has its own `job` field */
        s = ended(&w->entries[0], OUTCOME_LATER);
        s.due_ms = 1900000000123 + (uint64_t)round;
        assert_int_equal(ask_settle(w, &s, 1), 0);
        expect_int(w, 0, "XLEN " P "jobs:normal");
        assert_int_equal(ask_due(w, s.due_ms - 1, 10), 0);
        assert_int_equal(w->moved, 0);
        assert_int_equal(w->next_due_ms, s.due_ms);
        assert_int_equal(ask_due(w, s.due_ms, 10), 0);
        assert_int_equal(w->moved, 1);
        assert_true(w->next_due_ms == NEVER);
        r = redis_server_try(w->server, "XRANGE " P "jobs:normal - +");
        f = r->element[0]->element[1];
        assert_int_equal(f->elements, 6);
        expect_bytes(f->element[1], odd_key, sizeof(odd_key));
        expect_bytes(f->element[3], "77", 2);
        expect_bytes(f->element[4], "job", 3);
        expect_bytes(f->element[5], job, strlen(job));
        freeReplyObject(r);
        assert_int_equal(ask_read(w, 0, 1, 0), 0);
        assert_int_equal(w->count, 1);
    }
    s = ended(&w->entries[0], OUTCOME_PURGED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_receipt(w, job, "purged");
    expect_int(w, 2, "DBSIZE"); /* the stream and one receipt */
    free(job);
    world_free(w);
}

static void a_repeat_is_a_job_of_its_own(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    char *job, *again;

    (void)state;
    have_one(w, "keys k repeat_after 5000 not_before 7 ref r");
    job = job_id(&w->entries[0]);
    again = alloc_printf("%s+r", job);
    s = ended(&w->entries[0], OUTCOME_PURGED);
    s.due_ms = 1900000000000;
    s.reason = span_str("");
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_receipt(w, job, "purged");
    assert_int_equal(ask_due(w, 1900000000000, 10), 0);
    assert_int_equal(w->moved, 1);
    assert_int_equal(ask_read(w, 0, 1, 0), 0);
    {
        char *expected = alloc_printf("keys=k\nref=r\nnot_before=1900000000000\njob=%s\n", again);

        assert_string_equal(w->entries[0].text, expected);
        free(expected);
    }
    s = ended(&w->entries[0], OUTCOME_PURGED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_receipt(w, again, "purged");
    expect_int(w, 0, "EXISTS " P "postponed");
    free(job);
    free(again);
    world_free(w);
}

static void a_repeat_without_a_time_is_due_its_interval_after_the_end(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;

    (void)state;
    have_one(w, "keys k repeat_after 5000");
    s = ended(&w->entries[0], OUTCOME_PURGED);
    s.due_ms = 0;
    assert_int_equal(ask_settle(w, &s, 1), 0);
    assert_int_equal(ask_due(w, clock_wall_ms() + 4000, 10), 0);
    assert_int_equal(w->moved, 0);
    assert_int_equal(ask_due(w, clock_wall_ms() + 5001, 10), 0);
    assert_int_equal(w->moved, 1);
    world_free(w);
}

static void the_same_job_twice_waits_twice(void **state)
{
    struct world *w = world_new();
    struct queue_settle s[2];

    (void)state;
    free(redis_server_str(w->server, "XADD " P "jobs:bulk * keys k job same"));
    free(redis_server_str(w->server, "XADD " P "jobs:bulk * keys k job same"));
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    for (int i = 0; i < 2; i++) {
        s[i] = ended(&w->entries[i], OUTCOME_LATER);
        s[i].due_ms = 5;
    }
    assert_int_equal(ask_settle(w, s, 2), 0);
    expect_int(w, 2, "ZCARD " P "postponed");
    assert_int_equal(ask_due(w, 5, 1), 0);
    assert_int_equal(w->moved, 1);
    assert_int_equal(w->next_due_ms, 5);
    assert_int_equal(ask_due(w, 5, 1), 0);
    assert_int_equal(w->moved, 1);
    expect_int(w, 2, "XLEN " P "jobs:bulk");
    world_free(w);
}

static void what_later_cannot_read_becomes_a_dead_letter(void **state)
{
    struct world *w = world_new();

    (void)state;
    redis_server_do(w->server, "ZADD " P "later 1 garbage 2 %b 3 %b", "\x94\xa3xyz", (size_t)5,
                    "\x94\xa4"
                    "bulk\xa1j\xa1i\x92\x01\x02",
                    (size_t)13);
    redis_server_do(w->server, "ZADD " P "postponed 1 nowhere 2 garbage");
    redis_server_do(w->server, "HSET " P "postponed:jobs garbage rubbish");
    /* Like a job of today, with a further part at its end. */
    redis_server_do(w->server, "ZADD " P "postponed 3 newer");
    redis_server_do(w->server, "HSET " P "postponed:jobs newer %b",
                    "\x95\xa4"
                    "bulk\xa1j\xa1i\x92\xa4keys\xa1k\xa4more",
                    (size_t)23);
    do
        assert_int_equal(ask_due(w, 10, 10), 0);
    while (w->next_due_ms != NEVER);
    assert_int_equal(w->moved, 0);
    expect_int(w, 0, "EXISTS " P "later " P "postponed " P "postponed:jobs");
    expect_int(w, 6, "XLEN " P "dead");
    expect_int(w, 0, "XLEN " P "jobs:bulk");
    world_free(w);
}

static void an_end_is_published(void **state)
{
    struct world *w = world_new();
    redisContext *c = redisConnect("127.0.0.1", (int)redis_server_port(w->server));
    struct queue_settle s[3];
    struct redisReply *r;
    char *expected, *job[3];

    (void)state;
    freeReplyObject(redisCommand(c, "SUBSCRIBE " P "settled"));
    have(w, "normal", 3);
    for (int i = 0; i < 3; i++) {
        s[i] = purged(&w->entries[i]);
        job[i] = job_id(&w->entries[i]);
    }
    assert_int_equal(ask_settle(w, s, 2), 0);
    s[2] = ended(&w->entries[2], OUTCOME_DEAD);
    assert_int_equal(ask_settle(w, &s[2], 1), 0);
    expected = alloc_printf("%s %s", job[0], job[1]);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_string_equal(r->element[2]->str, expected);
    freeReplyObject(r);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_string_equal(r->element[2]->str, job[2]);
    freeReplyObject(r);
    redisFree(c);
    free(expected);
    for (int i = 0; i < 3; i++)
        free(job[i]);
    world_free(w);
}

/* An entry with 10,000 URLs has more fields than a script can pass to XADD. */
static void push_large(struct world *w, int urls)
{
    size_t count = 3 + 2 * (size_t)urls;
    const char **argv = alloc_zeroed(count, sizeof(*argv));
    redisContext *c = redisConnect("127.0.0.1", (int)redis_server_port(w->server));
    redisReply *r;

    argv[0] = "XADD";
    argv[1] = P "jobs:bulk";
    argv[2] = "*";
    for (size_t i = 3; i < count; i += 2) {
        argv[i] = "url";
        argv[i + 1] = "https://example.com/";
    }
    r = redisCommandArgv(c, (int)count, argv, NULL);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    freeReplyObject(r);
    redisFree(c);
    free(argv);
}

static void a_job_of_very_many_fields_can_die_and_wait(int urls)
{
    struct world *w = world_new();
    struct queue_settle s[2];
    struct redisReply *r;
    size_t fields = 2 * (size_t)urls;
    char *job;

    push_large(w, urls);
    push_large(w, urls);
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    assert_int_equal(w->count, 2);
    job = job_id(&w->entries[0]);
    s[0] = ended(&w->entries[0], OUTCOME_DEAD);
    s[1] = ended(&w->entries[1], OUTCOME_LATER);
    s[1].due_ms = 5;
    assert_int_equal(ask_settle(w, s, 2), 0);
    assert_int_equal(ask_settle(w, s, 2), 0);
    expect_receipt(w, job, "dead");
    expect_int(w, 1, "XLEN " P "dead");
    expect_int(w, 0, "XLEN " P "jobs:bulk");
    r = redis_server_try(w->server, "XRANGE " P "dead - +");
    assert_int_equal(r->element[0]->element[1]->elements, fields + 8);
    assert_string_equal(r->element[0]->element[1]->element[fields + 3]->str, job);
    freeReplyObject(r);
    assert_int_equal(ask_due(w, 5, 10), 0);
    assert_int_equal(w->moved, 1);
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->entries[0].fields_count, fields + 2);
    expect_int(w, 0, "ZCARD " P "postponed");
    free(job);
    world_free(w);
}

static void jobs_at_the_edge_of_what_a_script_can_carry_end_as_others(void **state)
{
    (void)state;
    a_job_of_very_many_fields_can_die_and_wait(3499);
    a_job_of_very_many_fields_can_die_and_wait(3500);
    a_job_of_very_many_fields_can_die_and_wait(3501);
    a_job_of_very_many_fields_can_die_and_wait(10000);
}

/* The leader was killed after it wrote a large job to its new place and before it removed the old
 * entry. The job is read and postponed again, and the existing copy does no harm. */
static void a_large_job_that_was_half_moved_is_moved_once(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    char *job;

    (void)state;
    push_large(w, 100);
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    assert_true(w->entries[0].large);
    job = job_id(&w->entries[0]);
    redis_server_do(w->server, "HSET " P "postponed:jobs %s half", job);
    s = ended(&w->entries[0], OUTCOME_LATER);
    s.due_ms = 5;
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_int(w, 1, "ZCARD " P "postponed");
    expect_int(w, 1, "HLEN " P "postponed:jobs");
    expect_int(w, 0, "XLEN " P "jobs:bulk");
    assert_int_equal(ask_due(w, 5, 10), 0);
    assert_int_equal(w->moved, 1);
    expect_int(w, 0, "EXISTS " P "postponed " P "postponed:jobs");
    expect_int(w, 1, "HLEN " P "places");
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    s = ended(&w->entries[0], OUTCOME_EXPIRED);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_receipt(w, job, "expired");
    expect_int(w, 0, "EXISTS " P "places");
    free(job);
    world_free(w);
}

/* The job is cancelled while it is being postponed, and its copy is removed. */
static void a_large_job_that_went_meanwhile_leaves_nothing(void **state)
{
    struct world *w = world_new();
    struct queue_settle s;
    int answers;

    (void)state;
    push_large(w, 100);
    assert_int_equal(ask_read(w, 0, 0, 9), 0);
    s = ended(&w->entries[0], OUTCOME_LATER);
    s.due_ms = 5;
    answers = w->answers;
    queue_settle(w->q, &s, 1, &(struct queue_keep){.receipt_ttl_s = 60}, world_on_done, w);
    redis_server_do(w->server, "DEL " P "jobs:bulk"); /* at any of its steps */
    run_until(w, w->answers == answers + 1);
    assert_int_equal(w->err, 0);
    assert_int_equal(redis_server_int(w->server, "HLEN " P "postponed:jobs"),
                     redis_server_int(w->server, "ZCARD " P "postponed"));
    world_free(w);
}

/* -- larger than memory_max allows -- */

static void an_oversized_entry_is_buried_with_what_was_kept_of_it_and_once(void **state)
{
    const struct span kept[] = {SPAN("service"), SPAN("news"), SPAN("ref"), SPAN("r-\xff")};
    struct world *w = world_new();
    char *large = alloc_zeroed(1, 300001), *job, *text;
    struct queue_settle s;

    (void)state;
    memset(large, 'k', 300000);
    redis_server_do(w->server, "XADD " P "jobs:normal * keys %s ref r", large);
    push(w, "normal", "behind");
    w->entry_max_bytes = 100000;
    assert_int_equal(ask_read(w, 9, 9, 9), 0);
    assert_int_equal(w->count, 2);
    assert_true(w->entries[0].oversized);
    assert_string_equal(w->entries[0].text, "ref=r\n");
    assert_false(w->entries[1].oversized);
    s = ended(&w->entries[0], OUTCOME_DEAD);
    s.oversized = true;
    s.fields = kept;
    s.fields_count = array_len(kept);
    job = job_id(&w->entries[0]);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    assert_int_equal(ask_settle(w, &s, 1), 0); /* the answer was lost; it must not be repeated */
    expect_int(w, 1, "XLEN " P "dead");
    expect_int(w, 1, "XLEN " P "jobs:normal");
    expect_receipt(w, job, "dead");
    expect_receipt_word(w, job, "ref", "r-\xc3\xbf");
    expect_receipt_word(w, job, "reason", "because");
    text = redis_server_str(w->server, "EVAL %s 0",
                            "return table.concat(redis.call('XRANGE', 'purgeline:{main}:dead', "
                            "'-', '+')[1][2], ' ', 1, 7)");
    assert_string_equal(text, "service news ref r-\xff dead_reason because dead_job");
    free(text);
    free(job);
    free(large);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_oversized_entry_is_buried_with_what_was_kept_of_it_and_once),
        cmocka_unit_test(a_purged_job_leaves_a_receipt_and_nothing_else),
        cmocka_unit_test(many_purged_jobs_of_all_lanes_end_in_one_call),
        cmocka_unit_test(without_receipts_nothing_is_left),
        cmocka_unit_test(a_receipt_that_is_there_is_not_written_over),
        cmocka_unit_test(settling_twice_changes_nothing_the_second_time),
        cmocka_unit_test(a_batch_that_ended_in_part_is_completed),
        cmocka_unit_test(a_receipt_carries_ref_and_reason),
        cmocka_unit_test(any_ref_makes_a_valid_receipt),
        cmocka_unit_test(a_nul_in_a_ref_makes_a_valid_receipt),
        cmocka_unit_test(a_dead_letter_holds_the_fields_and_the_reason),
        cmocka_unit_test(later_returns_byte_exact_under_its_first_id),
        cmocka_unit_test(a_repeat_is_a_job_of_its_own),
        cmocka_unit_test(a_repeat_without_a_time_is_due_its_interval_after_the_end),
        cmocka_unit_test(the_same_job_twice_waits_twice),
        cmocka_unit_test(what_later_cannot_read_becomes_a_dead_letter),
        cmocka_unit_test(an_end_is_published),
        cmocka_unit_test(jobs_at_the_edge_of_what_a_script_can_carry_end_as_others),
        cmocka_unit_test(a_large_job_that_was_half_moved_is_moved_once),
        cmocka_unit_test(a_large_job_that_went_meanwhile_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
