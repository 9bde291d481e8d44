/* SPDX-License-Identifier: MIT */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "buf.h"
#include "unit.h"

struct ends {
    struct pipe *pipe;
    int feed, read;
};

static void open_ends(struct ends *e, size_t line_max)
{
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    e->pipe = pipe_new(in[0], out[1], line_max);
    e->feed = in[1];
    e->read = out[0];
}

static void feed(const struct ends *e, const char *text)
{
    assert_int_equal(write(e->feed, text, strlen(text)), strlen(text));
}

static void assert_next(struct ends *e, enum pipe_event wanted, uint64_t number, const char *text)
{
    uint64_t n = 0;
    struct span line = SPAN("");

    assert_int_equal(pipe_next(e->pipe, &line, &n), wanted);
    assert_int_equal(n, number);
    assert_int_equal(line.n, strlen(text));
    assert_memory_equal(line.p, text, line.n);
}

#define assert_paused(e) assert_next(e, PIPE_PAUSED, 0, "")
#define assert_ended(e) assert_next(e, PIPE_ENDED, 0, "")

static void lines_come_whole_and_a_pause_is_told(void **state)
{
    struct ends e;

    (void)state;
    open_ends(&e, 100);
    assert_paused(&e);
    feed(&e, "one\n\ntw");
    assert_next(&e, PIPE_LINE, 1, "one");
    assert_next(&e, PIPE_LINE, 2, "");
    assert_paused(&e);
    feed(&e, "o\nlast");
    assert_next(&e, PIPE_LINE, 3, "two");
    assert_paused(&e);
    close(e.feed);
    assert_next(&e, PIPE_LINE, 4, "last");
    assert_ended(&e);
    assert_ended(&e);
    assert_int_equal(pipe_error(e.pipe), 0);
    pipe_free(e.pipe);
}

static void a_line_may_be_as_long_as_the_ceiling(void **state)
{
    struct ends e;
    uint64_t n;
    struct span line;

    (void)state;
    open_ends(&e, 4);
    feed(&e, "123\n1234\n12345\n1\n123456789\n");
    assert_next(&e, PIPE_LINE, 1, "123");
    assert_next(&e, PIPE_LINE, 2, "1234");
    assert_int_equal(pipe_next(e.pipe, &line, &n), PIPE_TOO_LONG);
    assert_next(&e, PIPE_LINE, 4, "1");
    assert_int_equal(pipe_next(e.pipe, &line, &n), PIPE_TOO_LONG);
    assert_int_equal(n, 5);
    assert_paused(&e);
    pipe_free(e.pipe);
}

static void a_line_that_is_too_long_may_come_in_pieces(void **state)
{
    struct ends e;
    uint64_t n;
    struct span line;

    (void)state;
    open_ends(&e, 4);
    for (int i = 0; i < 5; i++) {
        feed(&e, "123");
        assert_paused(&e);
    }
    feed(&e, "\n1234");
    assert_int_equal(pipe_next(e.pipe, &line, &n), PIPE_TOO_LONG);
    assert_paused(&e);
    feed(&e, "5");
    assert_paused(&e);
    close(e.feed);
    assert_int_equal(pipe_next(e.pipe, &line, &n), PIPE_TOO_LONG);
    assert_int_equal(n, 2);
    assert_ended(&e);
    pipe_free(e.pipe);
}

static void many_lines_in_one_piece_are_cut_one_by_one(void **state)
{
    static char text[60000];
    struct ends e;
    uint64_t count = 0, n = 0;
    struct span line;

    (void)state;
    memset(text, '\n', sizeof(text) - 1);
    for (size_t i = 0; i + 1 < sizeof(text); i += 3)
        text[i] = 'x';
    open_ends(&e, 100);
    feed(&e, text);
    close(e.feed);
    while (pipe_next(e.pipe, &line, &n) == PIPE_LINE)
        count++;
    assert_int_equal(count, 39999);
    assert_int_equal(n, 39999);
    pipe_free(e.pipe);
}

static void asked_to_stop_it_ends_and_the_second_time_as_ever(void **state)
{
    struct ends e;
    sigset_t mask;

    (void)state;
    open_ends(&e, 100);
    feed(&e, "one\ntwo\n");
    assert_next(&e, PIPE_LINE, 1, "one");
    assert_false(pipe_sleep(e.pipe, 0));
    raise(SIGTERM);
    assert_true(pipe_sleep(e.pipe, 60000));
    assert_ended(&e);
    pipe_wait(e.pipe);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
    pipe_free(e.pipe);
}

static void what_cannot_be_read_ends_it_with_the_reason(void **state)
{
    struct pipe *p = pipe_new(open("/", O_RDONLY | O_CLOEXEC), -1, 100);
    struct span line;
    uint64_t n;

    (void)state;
    assert_int_equal(pipe_next(p, &line, &n), PIPE_ENDED);
    assert_int_equal(pipe_error(p), -EISDIR);
    pipe_free(p);
}

static void output_is_whole_or_an_error(void **state)
{
    struct ends e;
    char got[16] = "";

    (void)state;
    open_ends(&e, 100);
    assert_int_equal(pipe_flush(e.pipe), 0);
    buf_printf(pipe_out(e.pipe), "hello");
    assert_int_equal(pipe_flush(e.pipe), 0);
    assert_int_equal(pipe_out(e.pipe)->n, 0);
    assert_int_equal(read(e.read, got, sizeof(got)), 5);
    assert_string_equal(got, "hello");
    close(e.read);
    signal(SIGPIPE, SIG_IGN);
    buf_printf(pipe_out(e.pipe), "hello");
    assert_int_equal(pipe_flush(e.pipe), -EPIPE);
    pipe_free(e.pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole_and_a_pause_is_told),
        cmocka_unit_test(a_line_may_be_as_long_as_the_ceiling),
        cmocka_unit_test(a_line_that_is_too_long_may_come_in_pieces),
        cmocka_unit_test(many_lines_in_one_piece_are_cut_one_by_one),
        cmocka_unit_test(asked_to_stop_it_ends_and_the_second_time_as_ever),
        cmocka_unit_test(what_cannot_be_read_ends_it_with_the_reason),
        cmocka_unit_test(output_is_whole_or_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
