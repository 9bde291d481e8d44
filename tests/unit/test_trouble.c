/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "trouble.h"

#define S(n) ((n)*NS_PER_S)

static struct trouble *t;
static char why[512];

/* The lines that have been logged to stderr. */
static FILE *said;
static int kept_stderr;

static int setup(void **state)
{
    (void)state;
    t = trouble_new("main");
    said = tmpfile();
    fflush(stderr);
    kept_stderr = dup(STDERR_FILENO);
    dup2(fileno(said), STDERR_FILENO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fflush(stderr);
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    fclose(said);
    trouble_free(t);
    return 0;
}

static unsigned lines_with(const char *text)
{
    char line[1024];
    unsigned n = 0;

    fflush(stderr);
    rewind(said);
    while (fgets(line, sizeof(line), said))
        n += strstr(line, text) != NULL;
    fseek(said, 0, SEEK_END);
    return n;
}

static bool refuse(uint64_t question, const char *words, uint64_t now_ns)
{
    const struct queue_refusal r = {question, "reserve budget", words};

    return trouble_refused(t, &r, now_ns);
}

static const struct queue_fault budget = {"purgeline:{main}:budget",
                                          "holds a string where a hash belongs"};

static void a_refusal_of_a_key_is_examined_and_the_key_is_named_once(void **state)
{
    (void)state;
    assert_true(refuse(7, "WRONGTYPE Operation against a key", S(1)));
    assert_int_equal(lines_with("WRONGTYPE"), 0);
    trouble_examined(t, 0, &budget, 1, S(1));
    for (uint64_t s = 2; s < 50; s++) {
        assert_false(refuse(7, "WRONGTYPE Operation against a key", S(s)));
        assert_false(refuse(7, "WRONGTYPE Operation against a key", S(s)));
    }
    trouble_examined(t, 0, &budget, 1, S(50));
    assert_int_equal(lines_with("purgeline:{main}:budget"), 1);
    assert_int_equal(lines_with("check --repair"), 1);
    assert_int_equal(lines_with(""), 1);
    assert_true(trouble_now(t, S(50), why, sizeof(why)));
    assert_non_null(strstr(why, "purgeline:{main}:budget"));
}

static void its_end_is_said_once(void **state)
{
    (void)state;
    assert_true(refuse(7, "WRONGTYPE x", S(1)));
    trouble_examined(t, 0, &budget, 1, S(1));
    trouble_accepted(t, 7, S(60));
    trouble_examined(t, 0, NULL, 0, S(61));
    trouble_examined(t, 0, NULL, 0, S(62));
    assert_int_equal(lines_with("No longer: "), 1);
    assert_int_equal(lines_with("lasted_s=60"), 1);
    assert_false(trouble_now(t, S(62), why, sizeof(why)));
}

static void when_no_key_is_to_blame_redis_own_words_are_said(void **state)
{
    (void)state;
    assert_true(refuse(7, "ERR attempt to perform \"arithmetic\"\non a nil value", S(1)));
    trouble_examined(t, 0, NULL, 0, S(1));
    assert_int_equal(lines_with("Redis refuses to reserve budget: ERR attempt"), 1);
    assert_int_equal(lines_with(""), 1); /* a line break in the key does not create another line */
}

static void when_the_keys_cannot_be_examined_it_is_said_all_the_same(void **state)
{
    (void)state;
    assert_true(refuse(7, "ERR odd", S(1)));
    trouble_examined(t, -EIO, NULL, 0, S(1));
    assert_int_equal(lines_with("ERR odd"), 1);
}

static void a_full_disk_is_one_trouble_whichever_question_meets_it(void **state)
{
    (void)state;
    assert_false(refuse(1, "MISCONF Errors writing to the AOF file", S(1)));
    assert_false(refuse(2, "ERR Error running script: -MISCONF Errors writing", S(1)));
    assert_false(refuse(3, "MISCONF Errors writing to the AOF file script: abc", S(1)));
    assert_int_equal(lines_with("free space on the disk of Redis"), 1);
}

static void each_command_that_is_not_permitted_is_said(void **state)
{
    (void)state;
    assert_false(refuse(1, "NOPERM this user has no permissions to run the 'xadd' command", S(1)));
    assert_false(refuse(2, "NOPERM this user has no permissions to run the 'info' command", S(1)));
    assert_false(refuse(2, "NOPERM this user has no permissions to run the 'info' command", S(2)));
    assert_int_equal(lines_with("redis-acl.conf"), 2);
}

/* For example, all three ledgers get the same error. */
static void the_same_words_are_said_once_whatever_was_asked(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 4; n++)
        assert_false(refuse(n, "ERR The user executing the script can't run this command", S(1)));
    assert_int_equal(lines_with("redis-acl.conf"), 1);
}

static void a_refusal_that_is_over_at_once_does_not_take_readiness(void **state)
{
    (void)state;
    assert_false(refuse(1, "BUSY Redis is busy running a script", S(1)));
    assert_false(trouble_now(t, S(1), why, sizeof(why)));
    assert_true(trouble_now(t, S(3), why, sizeof(why)));
    trouble_accepted(t, 1, S(4));
    assert_false(trouble_now(t, S(4), why, sizeof(why)));
}

static void a_question_that_nobody_asks_any_more_troubles_nobody(void **state)
{
    (void)state;
    assert_false(refuse(1, "NOPERM x", S(1)));
    assert_true(trouble_tick(t, S(2)) <= S(30));
    assert_true(trouble_now(t, S(10), why, sizeof(why)));
    (void)trouble_tick(t, S(30));
    assert_false(trouble_now(t, S(30), why, sizeof(why)));
}

static void a_redis_that_evicts_or_is_full_is_said_once_and_when_it_is_over(void **state)
{
    struct queue_server s = {.maxmemory_policy = "allkeys-lru", .full = true, .maxmemory = 1};

    (void)state;
    for (uint64_t n = 1; n < 100; n++)
        trouble_server(t, &s, S(n));
    assert_int_equal(lines_with("maxmemory-policy noeviction"), 1);
    assert_int_equal(lines_with("at its maxmemory"), 1);
    assert_true(trouble_has(t, TROUBLE_FULL, S(100)));
    s = (struct queue_server){.maxmemory_policy = "noeviction"};
    trouble_server(t, &s, S(100));
    assert_int_equal(lines_with("No longer"), 2);
    assert_false(trouble_now(t, S(100), why, sizeof(why)));
}

static void more_troubles_than_there_is_room_for_are_no_trouble(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 1000; n++)
        assert_false(refuse(n, "NOPERM x", S(1)));
    assert_true(trouble_now(t, S(10), why, sizeof(why)));
}

static void null_can_be_freed(void **state)
{
    (void)state;
    trouble_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A server that is not a real Redis may return any name of a key. It must not start a new line in
 * the log. */
static void the_name_of_a_key_begins_no_line(void **state)
{
    struct queue_fault f = {"jobs\n2026-11-28T00:00:00.000Z error \"forged\"", "is \x1b[2J a list"};

    (void)state;
    trouble_examined(t, 0, &f, 1, S(1));
    assert_int_equal(lines_with(""), 1);
    assert_int_equal(lines_with("The key jobs\\x0a2026-11-28T00:00:00.000Z error "
                                "\\\"forged\\\" is \\x1b[2J a list\""),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_refusal_of_a_key_is_examined_and_the_key_is_named_once),
        T(its_end_is_said_once),
        T(when_no_key_is_to_blame_redis_own_words_are_said),
        T(when_the_keys_cannot_be_examined_it_is_said_all_the_same),
        T(a_full_disk_is_one_trouble_whichever_question_meets_it),
        T(each_command_that_is_not_permitted_is_said),
        T(the_same_words_are_said_once_whatever_was_asked),
        T(a_refusal_that_is_over_at_once_does_not_take_readiness),
        T(a_question_that_nobody_asks_any_more_troubles_nobody),
        T(a_redis_that_evicts_or_is_full_is_said_once_and_when_it_is_over),
        T(more_troubles_than_there_is_room_for_are_no_trouble),
        T(the_name_of_a_key_begins_no_line),
        T(null_can_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
