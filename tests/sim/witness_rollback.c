/* SPDX-License-Identifier: MIT
 * A failure of Redis has lost its last writes: what the witness has seen of these is undone. And
 * two masters, each with a leader: what each of them spends. */
#include <stdio.h>

#include "engine.h"
#include "fake_redis.h"
#include "witness_internal.h"

static uint64_t *sum_of(enum outcome o)
{
    switch (o) {
    case OUTCOME_PURGED:
        return &witness.sums.purged;
    case OUTCOME_EXPIRED:
        return &witness.sums.expired;
    case OUTCOME_DEAD:
        return &witness.sums.dead;
    default:
        return &witness.sums.cancelled;
    }
}

/* Its entry is back: it will end once more. */
static void undo_end(struct job *j)
{
    (*sum_of(j->outcome))--;
    j->ends = 0;
    j->receipts = j->lines = 0;
    j->receipt_in_history = false;
    if (!j->cancelled)
        witness.open++;
}

/* Whatever becomes of it is right, as if it were cancelled: the leader may have read it. */
static void lose(const struct account *a, struct job *j)
{
    if (j->accepted && witness.config->redis_replicas)
        engine_fail("P1: job %s of %s was accepted, and a failover has lost it", j->id, a->name);
    if (j->ends)
        (*sum_of(j->outcome))--;
    else if (!j->cancelled)
        witness.open--;
    j->lost = j->cancelled = true;
    j->cancellation_told = false;
    witness.sums.lost++;
}

/* Without replicas, whoever was told that the job is cancelled may be wrong now. */
static void note_cancellation(const struct account *a, struct job *j, uint64_t commands)
{
    if (!witness.config->redis_replicas)
        j->cancellation_told = false;
    else if (j->cancellation_told && j->ends && j->ended_at > commands)
        engine_fail("P10: job %s of %s was said to be cancelled, and a failover has lost that",
                    j->id, a->name);
}

void witness_rolled_back(uint64_t commands)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++) {
        struct account *a = &witness.accounts[i];

        map_each(slot, &a->jobs)
        {
            struct job *j = slot->value;

            if (j->lost)
                continue;
            note_cancellation(a, j, commands);
            if (j->added_at > commands)
                lose(a, j);
            else if (j->ends && j->ended_at > commands)
                undo_end(j);
        }
    }
}

static struct job *job_of(const char *account, const char *id)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++)
        if (strcmp(witness.accounts[i].name, account) == 0)
            return map_get(&witness.accounts[i].jobs, span_str(id));
    return NULL;
}

void witness_accepted(const char *account, const char *id)
{
    struct job *j = job_of(account, id);

    if (!j)
        return;
    j->accepted = true;
    if (j->lost && witness.config->redis_replicas)
        engine_fail("P1: job %s of %s is accepted, and a failover has lost it before", id, account);
}

bool witness_lost(const char *account, const char *id)
{
    const struct job *j = job_of(account, id);

    return j && j->lost;
}

/* -- two masters -- */

void witness_split(uint32_t with)
{
    witness.cut_off = with;
    witness.split_ns = engine_now_ns();
    witness.joined_ns = NEVER;
    for (uint32_t i = 0; i < witness.accounts_count; i++)
        for (int l = 0; l < LEDGER_N; l++)
            arrivals_copy(&witness.accounts[i].cut_off[l], &witness.accounts[i].windows[l]);
}

void witness_joined(void)
{
    if (witness.joined_ns == NEVER)
        witness.joined_ns = engine_now_ns();
}

/* With redis_replicas there are no two sides. */
uint64_t witness_add_arrival(struct account *a, enum ledger_kind l, const struct request *r,
                             uint64_t window_ns)
{
    bool aside = witness.cut_off & FAKE_REDIS_WITH(r->instance), both = false;
    uint64_t here = 0, there = 0;

    if (witness.config->redis_replicas || r->started_ns >= witness.joined_ns)
        aside = false;
    else if (witness.cut_off)
        both = r->started_ns < witness.split_ns;
    if (!aside || both)
        here = arrivals_add(&a->windows[l], r->arrived_ns, r->cost, window_ns);
    if (aside || both)
        there = arrivals_add(&a->cut_off[l], r->arrived_ns, r->cost, window_ns);
    return max_u64(here, there);
}
