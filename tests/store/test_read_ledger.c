/* SPDX-License-Identifier: MIT
 * Requests that read Fastly's API are counted in Redis, whose clock may be set, and into which
 * other programs may write anything. */
#include "store_world.h"

#include "client.h"
#include "read_ledger.h"

#define READS P "reads"

struct read_world {
    struct store_world store;
    struct client *client;
    struct config_account account;
    struct read_refusal why;
    struct read_use use[READ_N];
};

static int set_up(void **state)
{
    static struct redis_address address;
    struct read_world *w = alloc_zeroed(1, sizeof(*w));
    struct error err;

    store_open(&w->store);
    w->account = (struct config_account){.name = (char *)"main",
                                         .reads = {.per_minute = 3, .edge_checks = 2}};
    assert_int_equal(client_open(&address, &w->client, &err), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct read_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static int take_one(struct read_world *w, enum read_kind k)
{
    return read_ledger_take(w->client, &w->account, k, &w->why);
}

static void look(struct read_world *w)
{
    assert_int_equal(read_ledger_look(w->client, "main", w->use), 0);
}

static void a_limit_is_kept_in_every_window(void **state)
{
    struct read_world *w = *state;
    uint64_t sent_ms[200];
    unsigned n = 0, in_window;

    w->store.now_ms = UINT64_C(1700000000999);
    for (int i = 0; i < 600; i++, w->store.now_ms += 317)
        if (take_one(w, READ_API) == 0)
            sent_ms[n++] = w->store.now_ms;
    assert_in_range(n, 9, 12); /* in 190 s */
    for (unsigned i = 0; i < n; i++) {
        in_window = 0;
        for (unsigned k = 0; k < n; k++)
            in_window += sent_ms[k] > sent_ms[i] - 60000 && sent_ms[k] <= sent_ms[i];
        assert_in_range(in_window, 1, 3);
    }
    look(w);
    assert_int_equal(w->use[READ_API].total, n);
    assert_int_equal(w->use[READ_API].refused, 600 - n);
}

/* It is told when the next one may be sent, and then it may. */
static void a_refusal_says_until_when(void **state)
{
    struct read_world *w = *state;

    for (int i = 0; i < 3; i++, w->store.now_ms += 10000)
        assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
    assert_int_equal(w->why.kind, READ_API);
    assert_false(w->why.by_fastly);
    assert_int_equal(w->why.wait_ms, 31000); /* the first was sent 30 s ago, and up to 1 s later */
    w->store.now_ms += w->why.wait_ms - 1;
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
    w->store.now_ms += 1;
    assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
}

static void an_edge_check_counts_against_both_limits(void **state)
{
    struct read_world *w = *state;

    assert_int_equal(take_one(w, READ_EDGE_CHECK), 0);
    assert_int_equal(take_one(w, READ_EDGE_CHECK), 0);
    assert_int_equal(take_one(w, READ_EDGE_CHECK), -EAGAIN);
    assert_int_equal(w->why.kind, READ_EDGE_CHECK);
    assert_in_range(w->why.wait_ms, 3600000, 3660000);
    look(w);
    assert_int_equal(w->use[READ_API].used, 2); /* what is refused counts against none */
    assert_int_equal(w->use[READ_EDGE_CHECK].used, 2);
    assert_int_equal(w->use[READ_EDGE_CHECK].refused, 1);
    assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(take_one(w, READ_EDGE_CHECK), -EAGAIN);
    assert_int_equal(w->why.kind, READ_API); /* which is looked at first */
    w->store.now_ms += 61000;
    assert_int_equal(take_one(w, READ_EDGE_CHECK), -EAGAIN);
    assert_int_equal(w->why.kind, READ_EDGE_CHECK);
    w->store.now_ms += w->why.wait_ms;
    assert_int_equal(take_one(w, READ_EDGE_CHECK), 0);
}

static void a_429_holds_what_it_refused(void **state)
{
    struct read_world *w = *state;

    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EDGE_CHECK, 40000), 0);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EDGE_CHECK, 1000), 0);
    assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(take_one(w, READ_EDGE_CHECK), -EAGAIN);
    assert_true(w->why.by_fastly);
    assert_int_equal(w->why.wait_ms, 40000);
    w->store.now_ms += 15000;
    look(w);
    assert_int_equal(w->use[READ_EDGE_CHECK].held_ms, 25000);
    assert_int_equal(w->use[READ_API].held_ms, 0);
    w->store.now_ms += 25000;
    assert_int_equal(take_one(w, READ_EDGE_CHECK), 0);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_API, UINT64_MAX), 0);
    look(w);
    assert_int_equal(w->use[READ_API].held_ms, 3600000); /* not longer than an hour */
}

/* A token that may not read the event log is asked again after a day, or when it is another one. */
static void the_event_log_is_held_for_a_day(void **state)
{
    struct read_world *w = *state;

    assert_int_equal(take_one(w, READ_EVENTS), 0);
    look(w);
    assert_int_equal(w->use[READ_API].total, 1);
    assert_int_equal(w->use[READ_EDGE_CHECK].total, 0);
    assert_int_equal(w->use[READ_EVENTS].total, 1);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EVENTS, UINT64_MAX), 0);
    assert_int_equal(take_one(w, READ_EVENTS), -EAGAIN);
    assert_int_equal(w->why.wait_ms, 24 * 3600000);
    assert_int_equal(take_one(w, READ_API), 0);
    w->store.now_ms += 24 * 3600000 - 1;
    assert_int_equal(take_one(w, READ_EVENTS), -EAGAIN);
    w->store.now_ms += 1;
    assert_int_equal(take_one(w, READ_EVENTS), 0);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EVENTS, 1000), 0);
    assert_int_equal(take_one(w, READ_EVENTS), -EAGAIN);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EVENTS, 0), 0);
    assert_int_equal(take_one(w, READ_EVENTS), 0);
}

/* A clock that is set back forgets nothing, and holds nothing for longer than the window. */
static void a_clock_that_is_set_back_is_no_harm(void **state)
{
    struct read_world *w = *state;

    for (int i = 0; i < 3; i++)
        assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(read_ledger_hold(w->client, &w->account, READ_EDGE_CHECK, 60000), 0);
    w->store.now_ms -= 100 * UINT64_C(86400000);
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
    assert_in_range(w->why.wait_ms, 60000, 61000);
    look(w);
    assert_int_equal(w->use[READ_EDGE_CHECK].held_ms, 0);
    w->store.now_ms += 30000;
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
    w->store.now_ms += 31000;
    assert_int_equal(take_one(w, READ_API), 0);
}

static void what_others_write_there_is_no_harm(void **state)
{
    struct read_world *w = *state;

    store_do(&w->store, "HSET " READS " api nonsense api:until x api:total -5 api:refused 9e99");
    look(w);
    assert_int_equal(w->use[READ_API].used, 0);
    assert_int_equal(w->use[READ_API].total, 0);
    assert_int_equal(take_one(w, READ_API), 0);
    look(w);
    assert_int_equal(w->use[READ_API].used, 1);
    assert_int_equal(w->use[READ_API].total, 1);
    store_do(&w->store, "SET " READS " x");
    assert_int_equal(take_one(w, READ_API), -EIO);
    assert_non_null(strstr(client_error(w->client), "WRONGTYPE"));
}

/* The count is not what producers push, so it goes on when Redis is full. */
static void a_full_redis_counts_on(void **state)
{
    struct read_world *w = *state;

    assert_int_equal(take_one(w, READ_API), 0);
    fakeredis_set_full(w->store.redis, OOM);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_one(w, READ_API), 0);
    assert_int_equal(take_one(w, READ_API), -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_limit_is_kept_in_every_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_says_until_when, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_edge_check_counts_against_both_limits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_429_holds_what_it_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_event_log_is_held_for_a_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_is_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_write_there_is_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_redis_counts_on, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
