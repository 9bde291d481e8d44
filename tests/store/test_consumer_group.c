/* SPDX-License-Identifier: MIT
 * The consumer with a source that stays a member of a group, or comes back by itself. */
#include "consumer_world.h"

static void refuse_the_first_fetch(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, queue.fetches == 1 ? "-" OOM "\r\n" : "$3\r\n1-1\r\n");
}

static void what_a_group_keeps_is_fetched_again_without_leaving_it(void **state)
{
    struct consumer_world *w = *state;

    queue.group = true;
    add("{\"id\": \"a\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    fakeio_lie("XADD", refuse_the_first_fetch);
    consume(w);
    assert_int_equal(queue.opens, 1);
    assert_true(queue.fetches >= 2);
    assert_int_equal(queue.committed, 1);
    assert_int_equal(w->counts.jobs, 1);
}

static void a_source_that_comes_back_by_itself_stays_open(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_fetches = 1;
    queue.failure = -EAGAIN;
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.opens, 1);
}

/* Jobs that wait: it is full after the first message, until it was held. */
static void length(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, ":%d\r\n", queue.fetches == 1 && !queue.holds ? 8 : 0);
}

static void a_group_is_not_left_while_the_backlog_is_full(void **state)
{
    struct consumer_world *w = *state;

    queue.group = true;
    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    queue.most_at_once = 1;
    w->config.http.backlog_max = 1;
    fakeio_lie("XLEN", length);
    consume(w);
    assert_jobs(w, "a b ");
    assert_int_equal(queue.committed, 2);
    assert_int_equal(queue.opens, 1);
    assert_true(queue.holds >= 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_a_group_keeps_is_fetched_again_without_leaving_it),
        T(a_source_that_comes_back_by_itself_stays_open),
        T(a_group_is_not_left_while_the_backlog_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
