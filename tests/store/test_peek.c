/* SPDX-License-Identifier: MIT
 * Reading an account's lanes and budget returns every job once, and every cost with its age. */
#include "store_world.h"

#include "client.h"
#include "peek.h"

#define JOBS 100 /* more than one page */

struct peek_world {
    struct store_world store;
    struct client *client;
    struct config_account account;
    unsigned entries[LANE_N], fields;
    char first_id[50];
    uint64_t spent[LEDGER_N], spent_age_ms, level, level_age_ms, burst, burst_age_ms;
    unsigned levels;
};

static int set_up(void **state)
{
    struct peek_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->account.budget.per_s = 3600;
    w->account.writes.per_s = 3600;
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct peek_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

/* -- the jobs -- */

static void on_entry(void *ctx, enum lane lane, struct span id, const struct span *fields,
                     size_t fields_count)
{
    struct peek_world *w = ctx;

    if (w->entries[lane]++ == 0)
        snprintf(w->first_id, sizeof(w->first_id), "%.*s", (int)id.n, id.p);
    if (fields_count == 2 && span_is(fields[0], "url") && span_is(fields[1], "a"))
        w->fields++;
}

static int read_lane(struct peek_world *w, struct peek *p, enum lane lane)
{
    unsigned before;
    uint32_t most;
    int rc = 0;

    while (rc == 0 && peek_more(p, lane)) {
        before = w->entries[lane];
        most = peek_page_entries(p, lane);
        rc = peek_page(p, lane, on_entry, w);
        assert_true(w->entries[lane] - before <= most);
    }
    return rc;
}

static void every_job_of_a_lane_is_seen_once(void **state)
{
    struct peek_world *w = *state;
    struct peek *p = peek_new(w->client, "main");

    for (int i = 0; i < JOBS; i++)
        store_do(&w->store, "XADD " P "jobs:bulk * url a");
    store_do(&w->store, "XADD " P "jobs:urgent 7-7 url a");
    assert_int_equal(read_lane(w, p, LANE_BULK), 0);
    assert_int_equal(w->entries[LANE_BULK], JOBS);
    assert_int_equal(w->fields, JOBS);
    assert_int_equal(read_lane(w, p, LANE_URGENT), 0);
    assert_int_equal(w->entries[LANE_URGENT], 1);
    assert_string_equal(w->first_id, "7-7");
    assert_int_equal(read_lane(w, p, LANE_NORMAL), 0);
    assert_int_equal(w->entries[LANE_NORMAL], 0);
    peek_free(p);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", JOBS);
}

static void a_lane_that_cannot_be_read_says_so(void **state)
{
    struct peek_world *w = *state;
    struct peek *p = peek_new(w->client, "main");

    store_do(&w->store, "SET " P "jobs:normal x");
    assert_int_equal(read_lane(w, p, LANE_NORMAL), -EIO);
    assert_string_equal(client_error(w->client), WRONGTYPE);
    peek_free(p);
}

/* -- the budget -- */

static void on_spent(void *ctx, enum ledger_kind l, uint64_t cost, uint64_t age_ms)
{
    struct peek_world *w = ctx;

    w->spent[l] += cost;
    w->spent_age_ms = max_u64(w->spent_age_ms, age_ms);
}

static void on_level(void *ctx, enum ledger_kind l, uint64_t level_micro, uint64_t age_ms)
{
    struct peek_world *w = ctx;

    assert_int_equal(l, LEDGER_PURGE);
    w->levels++;
    w->level = level_micro;
    w->level_age_ms = age_ms;
}

static void on_learnt(void *ctx, enum ledger_kind l, uint64_t burst, uint64_t age_ms)
{
    struct peek_world *w = ctx;

    assert_int_equal(l, LEDGER_URL);
    assert_int_equal(w->levels, 0);
    w->burst = burst;
    w->burst_age_ms = age_ms;
}

static const struct peek_budget_sink sink = {on_spent, on_level, on_learnt};

static void what_was_spent_within_the_window_is_told_with_its_age(void **state)
{
    struct peek_world *w = *state;
    char command[200];

    snprintf(command, sizeof(command), "XADD " P "spent:%s 1699996399999-0 cost 5",
             ledger_names[LEDGER_PURGE]); /* one hour and one millisecond ago */
    store_do(&w->store, command);
    snprintf(command, sizeof(command), "XADD " P "spent:%s 1699999999000-0 cost 30",
             ledger_names[LEDGER_PURGE]);
    store_do(&w->store, command);
    assert_int_equal(peek_budget(w->client, &w->account, &sink, w), 0);
    assert_int_equal(w->spent[LEDGER_PURGE], 30);
    assert_int_equal(w->spent_age_ms, 1000);
    assert_int_equal(w->levels, 0);
}

static void what_is_on_the_wire_counts_as_spent_now(void **state)
{
    struct peek_world *w = *state;
    const char *name = ledger_names[LEDGER_PURGE];
    char command[200];

    snprintf(command, sizeof(command),
             "HSET " P "budget %s:open 4 %s:level 123 %s:level_at 1699999999500", name, name, name);
    store_do(&w->store, command);
    assert_int_equal(peek_budget(w->client, &w->account, &sink, w), 0);
    assert_int_equal(w->spent[LEDGER_PURGE], 4);
    assert_int_equal(w->spent_age_ms, 0);
    assert_int_equal(w->levels, 1);
    assert_int_equal(w->level, 123);
    assert_int_equal(w->level_age_ms, 500);
}

static void what_a_429_taught_is_told_with_its_age_by_the_accounts_time(void **state)
{
    struct peek_world *w = *state;

    assert_int_equal(peek_budget(w->client, &w->account, &sink, w), 0);
    assert_int_equal(w->burst, 0);
    store_do(&w->store, "HSET " P "budget url:learnt 25000 url:learnt_at 1000000 clock 1002000 "
                        "clock_at 1699999999500");
    assert_int_equal(peek_budget(w->client, &w->account, &sink, w), 0);
    assert_int_equal(w->burst, 25000);
    assert_int_equal(w->burst_age_ms, 2500);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(every_job_of_a_lane_is_seen_once),
        over_redis(a_lane_that_cannot_be_read_says_so),
        over_redis(what_was_spent_within_the_window_is_told_with_its_age),
        over_redis(what_is_on_the_wire_counts_as_spent_now),
        over_redis(what_a_429_taught_is_told_with_its_age_by_the_accounts_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
