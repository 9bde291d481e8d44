/* SPDX-License-Identifier: MIT
 * Tests how outcomes are written, with a fake queue that answers when the test tells it to. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "settle.h"

#define ASKED_MAX 64

static struct {
    size_t count;
    uint64_t first_ms;
    char purges[64]; /* of all jobs, one after the other, as far as they fit */
    queue_done_cb *cb;
    void *ctx;
} asked[ASKED_MAX];
static size_t asked_count, answered_count;
static struct config_account account;

/* Replaces the function of store. */
void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  const struct queue_keep *keep, queue_done_cb *cb, void *ctx)
{
    (void)q, (void)keep;
    must(asked_count < ASKED_MAX);
    asked[asked_count].count = count;
    asked[asked_count].first_ms = items[0].id.ms;
    asked[asked_count].purges[0] = '\0';
    for (size_t i = 0, n = 0; i < count && n < sizeof(asked->purges); i++)
        n += (size_t)snprintf(asked[asked_count].purges + n, sizeof(asked->purges) - n, "%.*s,",
                              (int)items[i].purge.n, items[i].purge.p);
    asked[asked_count].cb = cb;
    asked[asked_count++].ctx = ctx;
}

static void on_changed(void *ctx, bool later)
{
    (void)ctx, (void)later;
}

static void add_purged(struct settle *s, struct span purge)
{
    struct queue_settle item = {
        .lane = LANE_NORMAL, .outcome = OUTCOME_PURGED, .plain = true, .purge = purge};

    settle_add(s, &item);
}

static struct settle *settle_with(uint64_t jobs)
{
    struct settle *s;

    asked_count = answered_count = 0;
    account.name = (char *)"main";
    s = settle_new(&account, NULL, on_changed, NULL);
    for (uint64_t i = 0; i < jobs; i++) {
        struct queue_settle item = {
            .lane = LANE_NORMAL, .id = {i, 0}, .outcome = OUTCOME_PURGED, .plain = true};

        settle_add(s, &item);
    }
    return s;
}

static void answer(struct settle *s, int err)
{
    size_t i = answered_count++;

    must(i < asked_count);
    asked[i].cb(asked[i].ctx, err);
    settle_flush(s, true, clock_mono_ns());
}

static void answer_all(struct settle *s)
{
    while (answered_count < asked_count)
        answer(s, 0);
    assert_true(settle_idle(s));
    assert_int_equal(settle_unconfirmed(s, LANE_NORMAL), 0);
    assert_int_equal(settle_bytes(s), 0);
    settle_free(s);
}

static void a_backlog_is_written_in_whole_loads_two_at_a_time(void **state)
{
    struct settle *s = settle_with(700);

    (void)state;
    settle_flush(s, true, clock_mono_ns());
    assert_int_equal(asked_count, 2);
    assert_int_equal(asked[0].count, 256);
    assert_int_equal(asked[1].first_ms, 256);
    answer_all(s);
    assert_int_equal(asked_count, 3);
    assert_int_equal(asked[2].count, 700 - 2 * 256);
}

static void while_urgent_jobs_come_a_load_is_written_in_parts(void **state)
{
    struct settle *s = settle_with(300);

    (void)state;
    settle_make_way(s, clock_mono_ns() + 3600 * NS_PER_S);
    settle_flush(s, true, clock_mono_ns());
    assert_int_equal(asked_count, 1);
    assert_int_equal(asked[0].count, 64);
    answer(s, 0);
    assert_int_equal(asked_count, 2);
    assert_int_equal(asked[1].count, 64);
    assert_int_equal(asked[1].first_ms, 64);
    assert_int_equal(settle_unconfirmed(s, LANE_NORMAL), 300);
    answer_all(s);
    assert_int_equal(asked_count, 5);
    assert_int_equal(asked[4].first_ms, 256);
    assert_int_equal(asked[4].count, 300 - 256);
}

static void after_an_error_in_a_part_the_whole_load_is_written_again(void **state)
{
    struct settle *s = settle_with(256);

    (void)state;
    settle_make_way(s, clock_mono_ns() + 3600 * NS_PER_S);
    settle_flush(s, true, clock_mono_ns());
    answer(s, 0);
    answer(s, -ENOTCONN);
    assert_int_equal(asked_count, 3);
    assert_int_equal(asked[2].first_ms, 0);
    answer_all(s);
    assert_int_equal(asked_count, 2 + 4);
}

static void a_second_after_the_last_urgent_job_loads_are_whole_again(void **state)
{
    struct settle *s = settle_with(256);

    (void)state;
    settle_make_way(s, clock_mono_ns() - 2 * NS_PER_S);
    settle_flush(s, true, clock_mono_ns());
    assert_int_equal(asked[0].count, 256);
    answer_all(s);
}

static void jobs_of_one_purge_share_what_the_history_says_of_it(void **state)
{
    struct settle *s = settle_with(0);
    char text[200];
    uint64_t before;

    (void)state;
    add_purged(s, SPAN("a"));
    add_purged(s, SPAN("a"));
    add_purged(s, SPAN(""));
    add_purged(s, SPAN("bb"));
    add_purged(s, SPAN("b"));
    settle_flush(s, true, clock_mono_ns());
    assert_string_equal(asked[0].purges, "a,a,,bb,b,");
    memset(text, 'x', sizeof(text));
    add_purged(s, span_of(text, sizeof(text)));
    before = settle_bytes(s);
    for (int i = 0; i < 100; i++)
        add_purged(s, span_of(text, sizeof(text)));
    assert_true(settle_bytes(s) - before < 100 * sizeof(text) / 2);
    settle_flush(s, true, clock_mono_ns());
    answer_all(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backlog_is_written_in_whole_loads_two_at_a_time),
        cmocka_unit_test(while_urgent_jobs_come_a_load_is_written_in_parts),
        cmocka_unit_test(after_an_error_in_a_part_the_whole_load_is_written_again),
        cmocka_unit_test(a_second_after_the_last_urgent_job_loads_are_whole_again),
        cmocka_unit_test(jobs_of_one_purge_share_what_the_history_says_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
