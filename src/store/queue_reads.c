/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"
#include "read_ledger.h"

struct taking_read {
    queue_taken_cb *cb;
    void *ctx;
};

static void on_taken(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct taking_read t = *(struct taking_read *)ctx;
    struct read_refusal why = {0};

    free(ctx);
    if (err == 0)
        err = read_ledger_answer_to_take(reply, &why);
    if (err == -EIO && reply)
        err = queue_distrust(q);
    t.cb(t.ctx, err, &why);
}

void queue_take_read(struct queue *q, const struct config_account *a, enum read_kind k,
                     queue_taken_cb *cb, void *ctx)
{
    struct taking_read *t = alloc_zeroed(1, sizeof(*t));
    enum read_kind kinds[READ_N];
    size_t count = read_kinds_of(k, kinds);
    struct queue_args args;

    *t = (struct taking_read){cb, ctx};
    queue_args_init(&args);
    queue_key(&args, q->keys[KEY_READS]);
    for (size_t i = 0; i < count; i++) {
        queue_arg(&args, span_str(read_names[kinds[i]]));
        queue_arg_u64(&args, read_limit(a, kinds[i]));
        queue_arg_u64(&args, read_windows_ms[kinds[i]]);
        queue_arg_u64(&args, read_hold_max_ms[kinds[i]]);
    }
    queue_call_script(q, SCRIPT_TAKE_READ, &args, on_taken, t);
}

static void on_held(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)q; /* if Redis refuses, it does so again before the next request */
    (void)ctx;
    (void)err;
    (void)reply;
}

void queue_hold_reads(struct queue *q, enum read_kind k, uint64_t wait_ms)
{
    struct queue_args args;

    queue_args_init(&args);
    queue_key(&args, q->keys[KEY_READS]);
    queue_arg(&args, span_str(read_names[k]));
    queue_arg_u64(&args, wait_ms);
    queue_arg_u64(&args, read_hold_max_ms[k]);
    queue_call_script(q, SCRIPT_HOLD_READS, &args, on_held, NULL);
}
