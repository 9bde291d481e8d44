/* SPDX-License-Identifier: MIT
 * Several purgelines for one account: one is the leader, the others are on standby, and the budget
 * is shared. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"

#define LEADS "leads the account"
#define LEASE_MS 10000u

static unsigned leader_of(struct rig *r, unsigned count)
{
    unsigned leader = 0, leaders = 0;

    for (unsigned n = 0; n < count; n++)
        if (r->instances[n].pid && instance_said(&r->instances[n], LEADS)) {
            leader = n;
            leaders++;
        }
    assert_int_equal(leaders, 1);
    return leader;
}

static size_t leading_now(struct rig *r, unsigned count)
{
    size_t leaders = 0;

    for (unsigned n = 0; n < count; n++)
        leaders += r->instances[n].pid && instance_said(&r->instances[n], LEADS);
    return leaders;
}

static void start_all(struct rig *r, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        rig_start(r, n);
    rig_await(r, leading_now(r, count) == 1);
    for (unsigned n = 0; n < count; n++)
        instance_await_said(&r->instances[n], "Connected to Redis", 1);
}

static void of_two_instances_one_leads_and_the_other_takes_over_when_it_is_killed(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 600, per_s: 3, burst: 100}\n", "");
    unsigned leader;
    uint64_t killed_ns;

    sandbox_fault(r->sandbox, "effect=0");
    start_all(r, 2);
    leader = leader_of(r, 2);
    rig_push_keys(r, "normal", "k", 0, 1500);
    rig_await(r, requests_spent(&r->requests, 0, NEVER) >= 700);
    assert_int_equal(leader_of(r, 2), leader);
    instance_kill(&r->instances[leader]);
    killed_ns = clock_mono_ns();
    instance_await_said(&r->instances[1 - leader], LEADS, 1);
    /* On the same machine, the lease of a dead process is taken over without waiting. */
    assert_true(clock_mono_ns() - killed_ns < LEASE_MS / 2 * NS_PER_MS);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 1500);
    assert_in_range(requests_peak(&r->requests, 3000), 1, 600);
    rig_close(r);
}

static void the_standby_takes_over_when_the_leader_stops(void **state)
{
    struct rig *r = rig_open(state, "", "");
    unsigned leader;
    struct job j;

    start_all(r, 2);
    leader = leader_of(r, 2);
    rig_stop(r, leader);
    instance_await_said(&r->instances[1 - leader], LEADS, 1);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

/* -- a leader that was stopped for a while ---------------------------------------------------- */

static bool is_among(const unsigned long *conns, size_t count, unsigned long conn)
{
    for (size_t i = 0; i < count; i++)
        if (conns[i] == conn)
            return true;
    return false;
}

/* The number of requests on one of these connections since then. */
static size_t requests_by(struct rig *r, const unsigned long *conns, size_t count,
                          uint64_t since_ms)
{
    size_t n = 0;

    requests_read(&r->requests);
    for (size_t i = 0; i < r->requests.count; i++)
        n += r->requests.at[i].begin_ms >= since_ms &&
             is_among(conns, count, r->requests.at[i].conn);
    return n;
}

static size_t connections_so_far(struct rig *r, unsigned long *conns, size_t room)
{
    size_t count = 0;

    requests_read(&r->requests);
    for (size_t i = 0; i < r->requests.count; i++)
        if (!is_among(conns, count, r->requests.at[i].conn)) {
            must(count < room);
            conns[count++] = r->requests.at[i].conn;
        }
    return count;
}

/* A machine that was suspended still believes after waking that it holds the lock:
 * https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html */
static void a_leader_that_slept_longer_than_its_lease_sends_nothing_more(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 400, per_s: 4, burst: 40}\n", "");
    unsigned long conns[64];
    uint64_t awake_ms;
    unsigned leader;
    size_t count;

    sandbox_fault(r->sandbox, "effect=0");
    start_all(r, 2);
    leader = leader_of(r, 2);
    rig_push_keys(r, "normal", "k", 0, 1000);
    rig_await(r, requests_spent(&r->requests, 0, NEVER) >= 200);
    count = connections_so_far(r, conns, array_len(conns));
    instance_signal(&r->instances[leader], SIGSTOP);
    instance_await_said(&r->instances[1 - leader], LEADS, 1);
    rig_await(r, requests_spent(&r->requests, 0, NEVER) >= 400);
    awake_ms = clock_wall_ms();
    instance_signal(&r->instances[leader], SIGCONT);
    instance_await_said(&r->instances[leader], "No new purges are sent", 1);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 1000);
    assert_in_range(requests_peak(&r->requests, 4000), 1, 400);
    assert_int_equal(requests_by(r, conns, count, awake_ms), 0);
    rig_close(r);
}

/* S5: in another project, two data centres each used the full limit:
 * https://github.com/letsencrypt/boulder/issues/7487 */
static void three_instances_share_one_budget_and_survive_their_leader_s5(void **state)
{
    struct rig *r = rig_open(state, "    budget: {purges: 3000, per_s: 10, burst: 300}\n", "");
    uint64_t begin_ms, killed_ms;
    unsigned leader;

    sandbox_fault(r->sandbox, "effect=0");
    rig_push_keys(r, "normal", "k", 0, 6300);
    start_all(r, 3);
    leader = leader_of(r, 3);
    rig_await(r, requests_spent(&r->requests, 0, NEVER) >= 3200);
    begin_ms = r->requests.at[0].t_ms;
    assert_true(requests_spent(&r->requests, begin_ms, begin_ms + 10000) >= 3000 * 9 / 10);
    assert_int_equal(leader_of(r, 3), leader);
    instance_kill(&r->instances[leader]);
    killed_ms = clock_wall_ms();
    rig_await(r, leading_now(r, 3) == 1);
    rig_await_empty(r);
    /* The next leader continues where the first one stopped: its budget is neither empty nor full.
     * Requests in flight count as spent at the take-over, and a busy machine loses some time. The
     * simulator checks how much of the budget is used. */
    begin_ms = requests_first(&r->requests, killed_ms);
    assert_true(requests_spent(&r->requests, begin_ms, begin_ms + 10000) >= 3000 * 8 / 10);
    assert_int_equal(rig_receipts(r, "purged"), 6300);
    assert_in_range(requests_peak(&r->requests, 10000), 1, 3000);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(of_two_instances_one_leads_and_the_other_takes_over_when_it_is_killed),
        rig_test(the_standby_takes_over_when_the_leader_stops),
        rig_test(a_leader_that_slept_longer_than_its_lease_sends_nothing_more),
        rig_test(three_instances_share_one_budget_and_survive_their_leader_s5),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
