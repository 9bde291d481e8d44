/* SPDX-License-Identifier: MIT
 * Keys of an account that are not purgeline's are found, and no others. A missing permission is
 * named. */
#include "store_world.h"

#include "client.h"
#include "orphans.h"
#include "permissions.h"

#define NOPERM "NOPERM this user has no permissions"

struct orphan_world {
    struct store_world store;
    struct client *client;
    unsigned found[2]; /* number of keys, by enum orphan */
    char last[2][100];
};

static int set_up(void **state)
{
    struct orphan_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct orphan_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

static void on_orphan(void *ctx, enum orphan what, struct span key)
{
    struct orphan_world *w = ctx;

    w->found[what]++;
    snprintf(w->last[what], sizeof(w->last[what]), "%.*s", (int)key.n, key.p);
}

static void find(struct orphan_world *w)
{
    memset(w->found, 0, sizeof(w->found));
    orphans_find(w->client, "main", on_orphan, w);
}

static void our_own_keys_are_no_orphans(void **state)
{
    static const char *const ours[] = {"lease",     "status",      "receipt:normal-1-0",
                                       "once:s:1",  "jobs:urgent", "postponed:jobs",
                                       "spent:url", "probe",       "reads",
                                       "instances", "consumers"};
    struct orphan_world *w = *state;
    char command[100];

    for (size_t i = 0; i < array_len(ours); i++) {
        snprintf(command, sizeof(command), "SET " P "%s x", ours[i]);
        store_do(&w->store, command);
    }
    find(w);
    assert_int_equal(w->found[ORPHAN_STRANGE], 0);
    assert_int_equal(w->found[ORPHAN_SET_ASIDE], 0);
}

static void what_is_not_ours_is_found_in_this_account_alone(void **state)
{
    struct orphan_world *w = *state;

    store_do(&w->store, "SET " P "jobs:urgent2 x");
    store_do(&w->store, "SET purgeline:{other}:stray x");
    store_do(&w->store, "SET " P "broken:dead:1700000000000 x");
    find(w);
    assert_int_equal(w->found[ORPHAN_STRANGE], 1);
    assert_string_equal(w->last[ORPHAN_STRANGE], P "jobs:urgent2");
    assert_int_equal(w->found[ORPHAN_SET_ASIDE], 1);
    assert_string_equal(w->last[ORPHAN_SET_ASIDE], P "broken:dead:1700000000000");
}

static void without_permission_no_orphan_is_found(void **state)
{
    struct orphan_world *w = *state;

    store_do(&w->store, "SET " P "stray x");
    fakeio_fail_next("SCAN", FAKEIO_REFUSED, NOPERM);
    find(w);
    assert_int_equal(w->found[ORPHAN_STRANGE], 0);
}

static void expect_missing(struct orphan_world *w, const char *rules)
{
    char *missing = permissions_missing(w->client, "main", 0);

    assert_string_equal(missing, rules);
    free(missing);
}

static void what_is_not_permitted_is_named_once(void **state)
{
    struct orphan_world *w = *state;

    fakeio_fail_next("ZADD", FAKEIO_REFUSED, NOPERM);
    fakeio_fail_next("DEL", FAKEIO_REFUSED, NOPERM);
    fakeio_fail_next("DEL", FAKEIO_REFUSED, NOPERM);
    fakeio_fail_next("GET", FAKEIO_REFUSED, "ERR something else");
    expect_missing(w, " +zadd +del");
}

static void asking_leaves_nothing_but_a_key_that_expires(void **state)
{
    struct orphan_world *w = *state;

    expect_missing(w, "");
    store_expect_number(&w->store, "EXISTS " P "probe", 0);
    for (int i = 0; i < 3; i++)
        fakeio_fail_next("DEL", FAKEIO_REFUSED, NOPERM);
    expect_missing(w, " +del");
    store_expect_number(&w->store, "TTL " P "probe", 1);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(our_own_keys_are_no_orphans),
        over_redis(what_is_not_ours_is_found_in_this_account_alone),
        over_redis(without_permission_no_orphan_is_found),
        over_redis(what_is_not_permitted_is_named_once),
        over_redis(asking_leaves_nothing_but_a_key_that_expires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
