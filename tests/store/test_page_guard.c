/* SPDX-License-Identifier: MIT
 * A server that is no Redis answers every page of a stream with a full one. Reading ends with an
 * error. */
#include "store_world.h"

#include "client.h"
#include "deadletter_filter.h"
#include "overview.h"
#include "peek.h"
#include "repair.h"

static const struct config_account account = {.name = (char *)"main"};
static const struct actor somebody = {&account, "me"};
static const struct deadletter_filter every = {.up_to = NULL};

struct guard_world {
    struct store_world store;
    struct client *client;
    struct config_account account;
};

static uint64_t next_id; /* of the lies that grow */

static int set_up(void **state)
{
    struct guard_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->account.budget.per_s = 3600;
    w->account.budget.purges = 1000;
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    next_id = 0;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct guard_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

/* Answers XRANGE with as many entries as it asks for, which begin with this id. */
static void put_page(size_t argc, const struct span *argv, uint64_t first, struct buf *out)
{
    uint64_t count = 1;

    if (argc > 4)
        assert_int_equal(span_to_u64(argv[argc - 1], &count), 0);
    buf_printf(out, "*%llu\r\n", (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        char id[32];

        snprintf(id, sizeof(id), "%llu-0", (unsigned long long)(first + i));
        buf_printf(out, "*2\r\n$%zu\r\n%s\r\n*2\r\n$4\r\ncost\r\n$1\r\n1\r\n", strlen(id), id);
    }
}

static void say_the_same(size_t argc, const struct span *argv, struct buf *out)
{
    put_page(argc, argv, 7, out);
}

/* A page that repeats is noticed at once. */
static void expect_few_pages(unsigned calls)
{
    assert_in_range(fakeio_count("XRANGE"), 2 * calls, 4 * calls);
}

static void say_more(size_t argc, const struct span *argv, struct buf *out)
{
    if (next_id >= 200000) { /* so that the test fails instead of running for ever */
        buf_printf(out, "*0\r\n");
        return;
    }
    put_page(argc, argv, next_id, out);
    next_id += 1000; /* the bookings of one page */
}

static void expect_distrust(struct guard_world *w, int rc)
{
    assert_int_equal(rc, -EIO);
    assert_non_null(strstr(client_error(w->client), "not the form that Redis gives"));
}

static void on_entry(void *ctx, enum lane lane, struct span id, const struct span *fields,
                     size_t fields_count)
{
    (void)ctx, (void)lane, (void)id, (void)fields, (void)fields_count;
}

static void on_spent(void *ctx, enum ledger_kind l, uint64_t cost, uint64_t age_ms)
{
    (void)ctx, (void)l, (void)cost, (void)age_ms;
}

static const struct peek_budget_sink sink = {.spent = on_spent};

static void a_lane_whose_pages_repeat_is_not_read_for_ever(void **state)
{
    struct guard_world *w = *state;
    struct peek *p = peek_new(w->client, "main");
    int rc = 0;

    fakeio_lie("XRANGE", say_the_same);
    while (rc == 0 && peek_more(p, LANE_BULK))
        rc = peek_page(p, LANE_BULK, on_entry, NULL);
    expect_distrust(w, rc);
    expect_few_pages(1);
    peek_free(p);
}

static void bookings_that_repeat_are_not_added_up_for_ever(void **state)
{
    struct guard_world *w = *state;
    struct overview o;

    fakeio_lie("XRANGE", say_the_same);
    expect_distrust(w, peek_budget(w->client, &w->account, &sink, NULL));
    expect_distrust(w, overview_read(w->client, &w->account, &o));
    expect_few_pages(3); /* with the first jobs of three lanes */
}

static void a_stream_has_not_many_more_entries_than_its_length(void **state)
{
    struct guard_world *w = *state;

    fakeio_lie("XRANGE", say_more);
    expect_distrust(w, peek_budget(w->client, &w->account, &sink, NULL));
    assert_in_range(next_id, 100000, 102000);
}

static void dead_letters_that_never_end_are_not_retried_for_ever(void **state)
{
    struct guard_world *w = *state;
    uint64_t done;

    store_do(&w->store, "XADD " P "dead 99999-0 url a dead_job urgent-5-1");
    fakeio_lie("XRANGE", say_the_same);
    expect_distrust(w, deadletter_act_all(w->client, &somebody, &every, DEADLETTER_RETRY,
                                          DEADLETTER_DO, &done, NULL));
    expect_distrust(w, deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP,
                                          DEADLETTER_DO, &done, NULL));
    expect_few_pages(2);
}

static void a_repair_of_a_lane_that_never_empties_ends(void **state)
{
    struct guard_world *w = *state;
    struct queue_fault f = {.key = P "jobs:normal", .what = "ids beyond any clock"};

    fakeio_lie("XRANGE", say_the_same);
    expect_distrust(w, repair_mend(w->client, &w->account, &f));
    expect_few_pages(1);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_lane_whose_pages_repeat_is_not_read_for_ever),
        over_redis(bookings_that_repeat_are_not_added_up_for_ever),
        over_redis(a_stream_has_not_many_more_entries_than_its_length),
        over_redis(dead_letters_that_never_end_are_not_retried_for_ever),
        over_redis(a_repair_of_a_lane_that_never_empties_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
