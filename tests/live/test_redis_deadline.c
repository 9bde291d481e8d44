/* SPDX-License-Identifier: MIT
 * A Redis that hangs: its connection is closed if an answer takes too long, and only then. */
#include "redis_world.h"

static void open_with_patience(struct world *w, uint32_t ms)
{
    open_world(w, redis_server_url(w->server));
    redis_set_patience(w->r, ms);
    run_until(w, w->ups == 1);
}

/* No single command can be withdrawn, so all unanswered commands end with an unknown result. */
static void a_server_that_stops_answering_is_given_up_and_found_again(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    pid_t pid;

    (void)state;
    pid = redis_server_pid(w.server);
    open_with_patience(&w, 300);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    command(&w, "INCR", "a");
    command(&w, "INCR", "b");
    run_until(&w, w.replies == 2 && w.downs == 1);
    assert_int_equal(w.nulls, 2);
    assert_non_null(strstr(w.why, "no answer within"));
    assert_false(redis_is_up(w.r));
    assert_int_equal(kill(pid, SIGCONT), 0);
    run_until(&w, w.ups == 2);
    command(&w, "ECHO", "again");
    run_until(&w, w.replies == 3);
    assert_string_equal(w.text, "again");
    close_world(&w);
}

static void a_server_that_owes_no_answer_may_be_silent(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_with_patience(&w, 100);
    command(&w, "ECHO", "a");
    run_until(&w, w.replies == 1);
    run_for(&w, 1500);
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

/* -- a command with a streamed answer -- */

static char bytes[100];
static size_t bytes_n;

static char *room(void *ctx, size_t *n)
{
    (void)ctx;
    *n = sizeof(bytes) - bytes_n;
    return bytes + bytes_n;
}

static int took(void *ctx, size_t n)
{
    (void)ctx;
    bytes_n += n;
    return bytes_n >= 5 && memcmp(bytes + bytes_n - 2, "\r\n", 2) == 0;
}

static const char *no_error(void *ctx)
{
    (void)ctx;
    return NULL;
}

static void done(void *ctx, int err)
{
    struct world *w = ctx;

    w->replies++;
    w->nulls += err != 0;
    loop_stop(w->loop);
}

static const struct redis_sink sink = {room, took, no_error, done};

static void a_command_that_waits_in_redis_has_that_time_on_top(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    struct span argv[] = {SPAN("BLPOP"), SPAN("nothing"), SPAN("2")};

    (void)state;
    open_with_patience(&w, 100);
    bytes_n = 0;
    redis_stream(w.r, 2000, 3, argv, &sink, &w);
    run_until(&w, w.replies == 1);
    assert_int_equal(w.nulls, 0);
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

static void a_stream_that_falls_silent_is_given_up(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    struct span argv[] = {SPAN("BLPOP"), SPAN("nothing"), SPAN("0")};

    (void)state;
    open_with_patience(&w, 100);
    redis_stream(w.r, 100, 3, argv, &sink, &w);
    run_until(&w, w.replies == 1 && w.downs == 1);
    assert_int_equal(w.nulls, 1);
    close_world(&w);
}

/* If our own loop was blocked, the answer may be unread when the timeout expires. This is not
 * Redis' fault. */
static void an_answer_that_nobody_read_is_no_silence(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_with_patience(&w, 100);
    command(&w, "ECHO", "a");
    run_for(&w, 1);
    command(&w, "ECHO", "b");
    usleep(300000); /* blocks the loop; there is no event to wait for */
    run_until(&w, w.replies == 2);
    assert_int_equal(w.nulls, 0);
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_stops_answering_is_given_up_and_found_again),
        cmocka_unit_test(a_server_that_owes_no_answer_may_be_silent),
        cmocka_unit_test(a_command_that_waits_in_redis_has_that_time_on_top),
        cmocka_unit_test(a_stream_that_falls_silent_is_given_up),
        cmocka_unit_test(an_answer_that_nobody_read_is_no_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
