/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "instances.h"

#define INSTANCES 7
#define ACCOUNTS 300
#define SOON (NS_PER_S)
#define LATER (100 * NS_PER_S)

/* A few instances, and what Redis holds. */
struct crowd {
    struct instances *of[INSTANCES];
    char names[INSTANCES][32], accounts[ACCOUNTS][16];
    bool there[INSTANCES];
    bool has[INSTANCES][ACCOUNTS]; /* the account is in its configuration */
    int leader[ACCOUNTS];          /* -1: nobody */
    uint32_t moves;
};

static struct crowd *crowd_new(void)
{
    struct crowd *c = calloc(1, sizeof(*c));

    for (int a = 0; a < ACCOUNTS; a++) {
        snprintf(c->accounts[a], sizeof(c->accounts[a]), "account-%d", a);
        c->leader[a] = -1;
    }
    for (int i = 0; i < INSTANCES; i++) {
        snprintf(c->names[i], sizeof(c->names[i]), "host%d/boot/ns/%d/0/x", i, 100 + i);
        c->of[i] = instances_new(c->names[i], ACCOUNTS);
        for (int a = 0; a < ACCOUNTS; a++)
            c->has[i][a] = true;
    }
    return c;
}

static void crowd_free(struct crowd *c)
{
    for (int i = 0; i < INSTANCES; i++)
        instances_free(c->of[i]);
    free(c);
}

static void hear(struct crowd *c, int me, int a, uint64_t now_ns)
{
    struct queue_lease lead = {0};

    for (int i = 0; i < INSTANCES; i++)
        if (i != me && c->there[i] && c->has[i][a])
            lead.others[lead.others_count++] =
                (struct queue_instance){.owner = span_str(c->names[i])};
    if (c->leader[a] >= 0)
        snprintf(lead.holder, sizeof(lead.holder), "%s", c->names[c->leader[a]]);
    instances_heard(c->of[me], (uint32_t)a, &lead, now_ns);
}

static void all_hear(struct crowd *c, uint64_t now_ns)
{
    for (int i = 0; i < INSTANCES; i++)
        for (int a = 0; a < ACCOUNTS; a++)
            if (c->there[i] && c->has[i][a])
                hear(c, i, a, now_ns);
}

static int number_of(const struct crowd *c, const char *name)
{
    for (int i = 0; name && i < INSTANCES; i++)
        if (strcmp(name, c->names[i]) == 0)
            return i;
    return -1;
}

/* Each absent lease is taken by whoever thinks that it should have it; returns how many find none.
 */
static uint32_t take_absent(struct crowd *c)
{
    uint32_t left = 0;

    for (int a = 0; a < ACCOUNTS; a++) {
        for (int i = 0; i < INSTANCES && c->leader[a] < 0; i++) {
            if (!c->there[i] || !c->has[i][a])
                continue;
            hear(c, i, a, SOON);
            if (instances_prefer_us(c->of[i], (uint32_t)a, c->accounts[a]))
                c->leader[a] = i;
        }
        left += c->leader[a] < 0;
        for (int i = 0; i < INSTANCES; i++)
            if (c->there[i] && c->has[i][a])
                hear(c, i, a, SOON);
    }
    return left;
}

/* Leaders hand over what they lead beyond their share, until nobody wants to. */
static void balance(struct crowd *c)
{
    uint32_t before;

    do {
        before = c->moves;
        all_hear(c, SOON);
        for (int a = 0; a < ACCOUNTS; a++) {
            int to = c->leader[a] < 0
                         ? -1
                         : number_of(c, instances_lighter(c->of[c->leader[a]], (uint32_t)a,
                                                          c->accounts[a], LATER));

            if (to < 0)
                continue;
            c->leader[a] = to;
            c->moves++;
            all_hear(c, SOON);
        }
        assert_true(c->moves < 10 * ACCOUNTS);
    } while (c->moves != before);
}

static uint32_t leads(const struct crowd *c, int i)
{
    uint32_t n = 0;

    for (int a = 0; a < ACCOUNTS; a++)
        n += c->leader[a] == i;
    return n;
}

static void each_leads_its_share(void **state)
{
    struct crowd *c = crowd_new();

    (void)state;
    c->there[0] = c->there[1] = c->there[2] = true;
    all_hear(c, SOON);
    assert_int_equal(take_absent(c), 0);
    for (int i = 0; i < 3; i++)
        assert_in_range(leads(c, i), 98, 102);
    balance(c);
    for (int i = 0; i < 3; i++)
        assert_in_range(leads(c, i), 99, 101);
    assert_int_equal(instances_led(c->of[1]), leads(c, 1));
    assert_int_equal(instances_count(c->of[1], 0), 3);
    crowd_free(c);
}

static void who_joins_gets_its_share_and_no_other_account_moves(void **state)
{
    struct crowd *c = crowd_new();

    (void)state;
    for (int a = 0; a < ACCOUNTS; a++)
        c->leader[a] = a % 2;
    c->there[0] = c->there[1] = true;
    balance(c);
    assert_int_equal(c->moves, 0);
    c->there[2] = true;
    balance(c);
    assert_in_range(leads(c, 2), 99, 101);
    assert_int_equal(c->moves, leads(c, 2));
    crowd_free(c);
}

static void who_leaves_is_replaced_by_all_others_and_no_other_account_moves(void **state)
{
    struct crowd *c = crowd_new();
    int before[ACCOUNTS], others = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        c->there[i] = true;
    for (int a = 0; a < ACCOUNTS; a++)
        before[a] = c->leader[a] = a % 4;
    all_hear(c, SOON);
    c->there[3] = false;
    for (int a = 0; a < ACCOUNTS; a++)
        if (c->leader[a] == 3)
            c->leader[a] = -1;
    all_hear(c, SOON);
    assert_int_equal(take_absent(c), 0);
    for (int a = 0; a < ACCOUNTS; a++)
        others += before[a] != 3 && c->leader[a] != before[a];
    assert_int_equal(others, 0);
    for (int i = 0; i < 3; i++)
        assert_in_range(leads(c, i), 95, 105);
    crowd_free(c);
}

/* One is configured with few accounts only, another one lacks some. */
static void instances_with_different_accounts_leave_none_without_a_leader(void **state)
{
    struct crowd *c = crowd_new();

    (void)state;
    c->there[0] = c->there[1] = c->there[2] = true;
    for (int a = 0; a < ACCOUNTS; a++) {
        c->has[1][a] = a < 10;
        c->has[2][a] = a >= 5;
    }
    all_hear(c, SOON);
    (void)take_absent(c); /* they disagree: whoever waits long enough takes it */
    for (int a = 0; a < ACCOUNTS; a++)
        if (c->leader[a] < 0)
            c->leader[a] = 0;
    balance(c);
    for (int a = 0; a < ACCOUNTS; a++)
        assert_true(c->has[c->leader[a]][a]);
    assert_in_range(leads(c, 1), 2, 6); /* five halves, five thirds */
    assert_in_range(leads(c, 0), 145, 152);
    crowd_free(c);
}

static void one_account_stays_where_it_is(void **state)
{
    struct crowd *c = crowd_new();

    (void)state;
    for (int i = 0; i < INSTANCES; i++)
        for (int a = 1; a < ACCOUNTS; a++)
            c->has[i][a] = false;
    c->leader[0] = 4;
    for (int i = 0; i < INSTANCES; i++)
        c->there[i] = true;
    balance(c);
    assert_int_equal(c->moves, 0);
    crowd_free(c);
}

static void accounts_rest_while_instances_come_and_go(void **state)
{
    struct crowd *c = crowd_new();

    (void)state;
    for (int a = 0; a < ACCOUNTS; a++)
        c->leader[a] = 0;
    c->there[0] = c->there[1] = true;
    all_hear(c, LATER);
    assert_null(instances_lighter(c->of[0], 0, c->accounts[0], LATER + 4 * NS_PER_S));
    assert_string_equal(instances_lighter(c->of[0], 0, c->accounts[0], LATER + 6 * NS_PER_S),
                        c->names[1]);
    crowd_free(c);
}

static void hand_overs_under_way_are_limited_and_count_as_done(void **state)
{
    struct crowd *c = crowd_new();
    struct instances *s = c->of[0];

    (void)state;
    for (int a = 0; a < ACCOUNTS; a++)
        c->leader[a] = a < 4 ? 0 : 1;
    for (int i = 0; i < 2; i++)
        for (int a = 4; a < ACCOUNTS; a++)
            c->has[i][a] = false;
    c->there[0] = c->there[1] = true;
    all_hear(c, SOON);
    assert_true(instances_begin_hand_over(s, c->names[1], HAND_OVER_BALANCING));
    assert_non_null(instances_lighter(s, 1, c->accounts[1], LATER));
    assert_true(instances_begin_hand_over(s, c->names[1], HAND_OVER_BALANCING));
    assert_null(instances_lighter(s, 2, c->accounts[2], LATER)); /* two and two */
    for (unsigned n = 2; n < INSTANCES_HAND_OVERS_BALANCING; n++)
        assert_true(instances_begin_hand_over(s, c->names[1], HAND_OVER_BALANCING));
    assert_false(instances_begin_hand_over(s, c->names[1], HAND_OVER_BALANCING));
    assert_true(instances_begin_hand_over(s, c->names[1], HAND_OVER_STOPPING));
    assert_false(instances_begin_hand_over(s, "nobody", HAND_OVER_STOPPING));
    instances_end_hand_over(s, c->names[1]);
    instances_end_hand_over(s, c->names[1]);
    assert_true(instances_begin_hand_over(s, c->names[1], HAND_OVER_BALANCING));
    crowd_free(c);
}

static void any_number_of_names_finds_room(void **state)
{
    struct instances *s = instances_new("me/b/n/1/0/x", 1);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct queue_lease lead = {.others_count = 1};
        char name[32];

        snprintf(name, sizeof(name), "host%d/b/n/1/0/x", i);
        lead.others[0].owner = span_str(name);
        instances_heard(s, 0, &lead, SOON);
        assert_string_equal(instances_successor(s, 0, "main"), name);
    }
    instances_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_leads_its_share),
        cmocka_unit_test(who_joins_gets_its_share_and_no_other_account_moves),
        cmocka_unit_test(who_leaves_is_replaced_by_all_others_and_no_other_account_moves),
        cmocka_unit_test(instances_with_different_accounts_leave_none_without_a_leader),
        cmocka_unit_test(one_account_stays_where_it_is),
        cmocka_unit_test(accounts_rest_while_instances_come_and_go),
        cmocka_unit_test(hand_overs_under_way_are_limited_and_count_as_done),
        cmocka_unit_test(any_number_of_names_finds_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
