/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

const char *const queue_examined_keys[QUEUE_EXAMINED] = {
    "jobs:urgent", "jobs:normal",    "jobs:bulk", "dead",        "later",   "lease",
    "budget",      "spent:purge",    "spent:url", "spent:write", "control", "cancelled",
    "postponed",   "postponed:jobs", "places",    "reads",       "history",
};

static const enum queue_key keys[QUEUE_EXAMINED] = {
    KEY_JOBS + LANE_URGENT,
    KEY_JOBS + LANE_NORMAL,
    KEY_JOBS + LANE_BULK,
    KEY_DEAD,
    KEY_LATER,
    KEY_LEASE,
    KEY_BUDGET,
    KEY_SPENT + LEDGER_PURGE,
    KEY_SPENT + LEDGER_URL,
    KEY_SPENT + LEDGER_WRITE,
    KEY_CONTROL,
    KEY_CANCELLED,
    KEY_POSTPONED,
    KEY_POSTPONED_JOBS,
    KEY_PLACES,
    KEY_READS,
    KEY_HISTORY,
};

struct examining {
    queue_examine_cb *cb;
    void *ctx;
};

size_t queue_faults(const struct redisReply *reply, struct queue_fault out[QUEUE_FAULTS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < reply_count(reply) && n < QUEUE_FAULTS_MAX; i += 2) {
        const struct redisReply *key = reply_at(reply, i), *what = reply_at(reply, i + 1);

        if (!reply_is_string(key) || !reply_is_string(what))
            continue;
        reply_copy(key, out[n].key, sizeof(out[n].key));
        reply_copy(what, out[n].what, sizeof(out[n].what));
        n++;
    }
    return n;
}

static void on_examined(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct examining e = *(struct examining *)ctx;
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    size_t count = err ? 0 : queue_faults(reply, faults);

    (void)q;
    free(ctx);
    e.cb(e.ctx, err, faults, count);
}

void queue_examine(struct queue *q, queue_examine_cb *cb, void *ctx)
{
    struct examining *e = alloc_zeroed(1, sizeof(*e));
    struct queue_args a;

    *e = (struct examining){cb, ctx};
    queue_args_init(&a);
    for (size_t i = 0; i < array_len(keys); i++)
        queue_key(&a, q->keys[keys[i]]);
    queue_call_script(q, SCRIPT_EXAMINE, &a, on_examined, e);
}
