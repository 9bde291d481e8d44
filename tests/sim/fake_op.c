/* SPDX-License-Identifier: MIT */
#include "fake_op.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"

const char *const op_names[OP_N] = {
    [OP_SERVER] = "server",  [OP_LEAD] = "lead",   [OP_RELEASE] = "release",
    [OP_READ] = "read",      [OP_DEPTH] = "depth", [OP_SETTLE] = "settle",
    [OP_DUE] = "due",        [OP_SPEND] = "spend", [OP_RESTORE] = "restore",
    [OP_EXAMINE] = "examine"};

static struct op *op_new(struct queue *q, enum op_kind kind, void *cb, void *ctx)
{
    struct op *op = alloc_zeroed(1, sizeof(*op));

    op->q = q;
    op->kind = kind;
    op->cb = cb;
    op->ctx = ctx;
    list_init(&op->link);
    return op;
}

static struct store *store_of(const struct op *op)
{
    return op->q->account->store;
}

/* -- questions and orders -- */

void queue_server(struct queue *q, queue_server_cb *cb, void *ctx)
{
    fake_queue_send(op_new(q, OP_SERVER, (void *)cb, ctx));
}

void queue_release(struct queue *q, queue_done_cb *cb, void *ctx)
{
    fake_queue_send(op_new(q, OP_RELEASE, (void *)cb, ctx));
}

void queue_depth(struct queue *q, queue_depth_cb *cb, void *ctx)
{
    struct op *op = op_new(q, OP_DEPTH, (void *)cb, ctx);

    memcpy(op->u.depth.seen, q->seen, sizeof(q->seen));
    fake_queue_send(op);
}

void queue_lease(struct queue *q, uint64_t ttl_ms, const char *usurp, struct span status,
                 const struct queue_clock *clock, queue_lease_cb *cb, void *ctx)
{
    struct op *op = op_new(q, OP_LEAD, (void *)cb, ctx);

    op->u.lead.ttl_ms = ttl_ms;
    op->u.lead.clock = *clock;
    op->u.lead.told = q->told;
    snprintf(op->u.lead.usurp, sizeof(op->u.lead.usurp), "%s", usurp ? usurp : "");
    op->u.lead.status = alloc_copy(status.p, status.n);
    fake_queue_send(op);
}

void queue_examine(struct queue *q, queue_examine_cb *cb, void *ctx)
{
    fake_queue_send(op_new(q, OP_EXAMINE, (void *)cb, ctx));
}

static void perform_examine(struct op *op)
{
    const struct store *s = store_of(op);

    if (!s->broken_key[0])
        return;
    op->u.examine.count = 1;
    snprintf(op->u.examine.faults[0].key, sizeof(op->u.examine.faults[0].key), "purgeline:{%s}:%s",
             s->account, s->broken_key);
    snprintf(op->u.examine.faults[0].what, sizeof(op->u.examine.faults[0].what),
             "holds a string where something else belongs");
}

static void perform_lead(struct op *op)
{
    struct queue_lease *out = &op->u.lead.answer;

    op->err = store_lease(store_of(op), op->q->owner, op->u.lead.ttl_ms, op->u.lead.usurp,
                          span_str(op->u.lead.status), &op->u.lead.clock, engine_redis_ms(),
                          &op->u.lead.told, out);
    if (op->err == 0 && out->taken_over)
        trace("redis: %s takes the lease of %s", op->q->owner, store_of(op)->account);
}

/* -- reading -- */

#define READ_AHEAD_BYTES 65536 /* what the real one holds without asking */

void queue_rewind(struct queue *q)
{
    memset(q->seen, 0, sizeof(q->seen));
}

size_t queue_reading_bytes(const struct queue *q)
{
    return q->reading_bytes;
}

void queue_read(struct queue *q, const struct queue_read *how, void *ctx)
{
    struct op *op = op_new(q, OP_READ, NULL, ctx);

    must(!q->reading);
    q->reading = true;
    op->on_reader = true;
    op->u.read.how = *how;
    memcpy(op->u.read.seen, q->seen, sizeof(op->u.read.seen));
    fake_queue_send(op);
}

static void keep_entries(struct op *op, enum lane lane, struct stream_entry **found, size_t n)
{
    size_t room = op->u.read.n + n + 1;

    op->u.read.entries = alloc_grow(op->u.read.entries, room, sizeof(*op->u.read.entries));
    op->u.read.fields = alloc_grow(op->u.read.fields, room, sizeof(*op->u.read.fields));
    for (size_t i = 0; i < n; i++) {
        const struct fields *f = found[i]->fields;
        struct fields *copy = f ? fields_copy(f->at, f->count) : NULL;

        op->u.read.fields[op->u.read.n] = copy;
        op->u.read.entries[op->u.read.n++] =
            (struct queue_entry){.lane = lane,
                                 .id = found[i]->id,
                                 .fields = copy ? copy->at : NULL,
                                 .fields_count = copy ? copy->count : 0};
    }
}

static void on_entries(void *ctx, enum lane lane, struct stream_entry **found, size_t n)
{
    struct op *op = ctx;

    op->waiter = NULL;
    keep_entries(op, lane, found, n);
    fake_queue_reply(op);
}

static void wait_for_entries(struct op *op)
{
    op->waiter =
        waiter_new(op->q->account, op->u.read.how.lanes, op->u.read.seen, op->u.read.how.count,
                   engine_now_ns() + op->u.read.how.block_ms * NS_PER_MS, on_entries, op);
}

static void perform_read(struct op *op)
{
    uint32_t most = op->u.read.how.count;
    struct stream_entry **found = alloc_bytes(most * sizeof(struct stream_entry *));

    op->u.read.all = true;
    for (int lane = 0; lane < LANE_N; lane++) {
        size_t n = 0;

        if (op->u.read.how.lanes[lane])
            n = store_read(store_of(op), (enum lane)lane, op->u.read.seen[lane], most,
                           engine_redis_ms(), found);
        keep_entries(op, (enum lane)lane, found, n);
        op->u.read.all = op->u.read.all && n < most;
    }
    free(found);
    if (op->u.read.n == 0 && op->u.read.how.block_ms)
        wait_for_entries(op);
}

/* As the parser of the real one counts them. */
static uint64_t size_of(const struct queue_entry *e)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < e->fields_count; i++)
        bytes += e->fields[i].n + sizeof(struct span);
    return bytes;
}

/* Of an oversized entry only small fields that hold no targets are handed out. */
static void keep_small_fields(struct queue_entry *e, struct span *kept)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < e->fields_count && n < 32; i += 2) {
        if (span_is(e->fields[i], "keys") || span_is(e->fields[i], "url") || e->fields[i].n > 64 ||
            e->fields[i + 1].n > 256)
            continue;
        kept[n++] = e->fields[i];
        kept[n++] = e->fields[i + 1];
    }
    e->fields = kept;
    e->fields_count = n;
}

/* Whether it was taken. */
static bool hand_out(struct op *op, struct queue_entry e)
{
    const struct queue_read *how = &op->u.read.how;
    struct entry_id *seen = &op->q->seen[e.lane];
    struct span kept[32];
    bool taken;

    e.bytes = size_of(&e);
    e.oversized = e.bytes > how->entry_max_bytes;
    if (e.oversized)
        keep_small_fields(&e, kept);
    else if (e.bytes > READ_AHEAD_BYTES && !how->room(op->ctx, e.lane, e.bytes))
        return false;
    op->q->reading_bytes = e.oversized ? 0 : e.bytes;
    taken = how->entry(op->ctx, &e);
    op->q->reading_bytes = 0;
    if (taken && entry_id_compare(e.id, *seen) > 0)
        *seen = e.id;
    return taken;
}

/* When the connection breaks under an answer, what had arrived by then was handed out. */
static void answer_read(struct op *op, int err)
{
    size_t n = err == 0 ? op->u.read.n : op->done && !op->q->dead ? op->u.read.n / 2 : 0;
    bool refused[LANE_N] = {false}, all = op->u.read.all;

    for (size_t i = 0; i < n; i++) {
        enum lane lane = op->u.read.entries[i].lane;

        if (!refused[lane])
            refused[lane] = !hand_out(op, op->u.read.entries[i]);
        all = all && !refused[lane];
    }
    op->q->reading = false;
    op->u.read.how.done(op->ctx, err, err == 0 && all);
}

/* -- the end of jobs -- */

void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  uint32_t receipt_ttl_s, queue_done_cb *cb, void *ctx)
{
    struct op *op = op_new(q, OP_SETTLE, (void *)cb, ctx);
    struct queue_settle *kept = alloc_zeroed(count, sizeof(*kept));

    must(count > 0);
    memcpy(kept, items, count * sizeof(*kept));
    for (size_t i = 0; i < count; i++) {
        kept[i].reason.p = alloc_copy(items[i].reason.p, items[i].reason.n);
        kept[i].target.p = alloc_copy(items[i].target.p, items[i].target.n);
        kept[i].fields = NULL; /* the entry is at hand */
        kept[i].fields_count = 0;
    }
    op->u.settle.items = kept;
    op->u.settle.count = count;
    op->u.settle.ttl_s = receipt_ttl_s;
    op->u.settle.wall_ms = engine_wall_ms();
    fake_queue_send(op);
}

void queue_due(struct queue *q, uint64_t wall_ms, uint32_t limit, queue_due_cb *cb, void *ctx)
{
    struct op *op = op_new(q, OP_DUE, (void *)cb, ctx);

    op->u.due.wall_ms = wall_ms;
    op->u.due.limit = limit;
    fake_queue_send(op);
}

/* -- the budget -- */

void queue_spend(struct queue *q, const struct queue_spend *s, queue_done_cb *cb, void *ctx)
{
    struct op *op = op_new(q, OP_SPEND, (void *)cb, ctx);

    q->booked[s->ledger] += s->book;
    op->u.spend.spend = *s;
    op->u.spend.seq = ++q->seq;
    op->u.spend.booked = q->booked[s->ledger];
    op->u.spend.epoch = q->epoch[s->ledger];
    fake_queue_send(op);
}

static void answer_spend(struct op *op, int err)
{
    enum ledger_kind l = op->u.spend.spend.ledger;

    if (err && op->u.spend.epoch == op->q->epoch[l])
        op->q->booked[l] -= op->u.spend.spend.book;
    ((queue_done_cb *)op->cb)(op->ctx, err);
}

void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx)
{
    struct op *op = op_new(q, OP_RESTORE, (void *)cb, ctx);

    op->u.restore.how = *r;
    op->u.restore.seq = ++q->seq;
    fake_queue_send(op);
}

static void answer_restore(struct op *op, int err)
{
    enum ledger_kind l = op->u.restore.how.ledger;

    if (err == 0) {
        op->q->booked[l] = 0;
        op->q->epoch[l]++;
    }
    ((queue_budget_cb *)op->cb)(op->ctx, err, err ? NULL : &op->u.restore.answer.budget);
}

/* -- all of them -- */

void op_perform(struct op *op)
{
    struct store *s = store_of(op);
    uint64_t now_ms = engine_redis_ms();

    if (s->refuses & 1u << op->kind) {
        op->err = -EIO;
        return;
    }
    switch (op->kind) {
    case OP_SERVER:
        store_server(s, &op->u.server);
        break;
    case OP_LEAD:
        perform_lead(op);
        break;
    case OP_RELEASE:
        op->err = store_release(s, op->q->owner, now_ms);
        break;
    case OP_READ:
        perform_read(op);
        break;
    case OP_DEPTH:
        store_depth(s, op->u.depth.seen, op->u.depth.answer);
        break;
    case OP_SETTLE:
        op->err = store_settle(s, op->u.settle.items, op->u.settle.count, op->u.settle.ttl_s,
                               op->u.settle.wall_ms, now_ms, &op->u.settle.skipped);
        break;
    case OP_DUE:
        op->err = store_due(s, op->u.due.wall_ms, op->u.due.limit, now_ms, &op->u.due.moved,
                            &op->u.due.next_ms);
        break;
    case OP_SPEND:
        op->err = store_spend(s, op->q->owner, op->u.spend.seq, &op->u.spend.spend,
                              op->u.spend.booked, now_ms);
        break;
    case OP_RESTORE:
        op->err = store_restore(s, op->q->owner, op->u.restore.seq, &op->u.restore.how, now_ms,
                                &op->u.restore.answer);
        break;
    case OP_EXAMINE:
        perform_examine(op);
        break;
    case OP_N:
        break;
    }
}

/* As store/queue_call.c reports every refusal, and its end. */
static void report(struct op *op, int err)
{
    struct queue *q = op->q;
    const struct queue_refusal r = {
        .question = op->kind + 1, .doing = op_names[op->kind], .words = q->refusal};

    if (op->kind == OP_EXAMINE || err == -ENOTCONN)
        return;
    if (err && err != -EPERM) {
        snprintf(q->refusal, sizeof(q->refusal), "%s",
                 err == -ENOMEM ? "MISCONF no room" : "WRONGTYPE no such thing");
        q->refused[op->kind] = true;
        q->cb.refused(q->ctx, &r);
    } else if (q->refused[op->kind]) {
        q->refused[op->kind] = false;
        q->cb.accepted(q->ctx, op->kind + 1);
    }
}

void op_answer(struct op *op, int err)
{
    report(op, err);
    switch (op->kind) {
    case OP_SERVER:
        ((queue_server_cb *)op->cb)(op->ctx, err, err ? NULL : &op->u.server);
        break;
    case OP_EXAMINE:
        ((queue_examine_cb *)op->cb)(op->ctx, err, op->u.examine.faults, op->u.examine.count);
        break;
    case OP_LEAD:
        if (err == 0)
            op->q->told = op->u.lead.told;
        ((queue_lease_cb *)op->cb)(op->ctx, err, err ? NULL : &op->u.lead.answer);
        break;
    case OP_READ:
        answer_read(op, err);
        break;
    case OP_DEPTH:
        ((queue_depth_cb *)op->cb)(op->ctx, err, op->u.depth.answer);
        break;
    case OP_DUE:
        ((queue_due_cb *)op->cb)(op->ctx, err, err ? 0 : op->u.due.moved,
                                 err ? NEVER : op->u.due.next_ms);
        break;
    case OP_SPEND:
        answer_spend(op, err);
        break;
    case OP_RESTORE:
        answer_restore(op, err);
        break;
    case OP_SETTLE:
        op->q->receipts_skipped += op->u.settle.skipped;
        ((queue_done_cb *)op->cb)(op->ctx, err);
        break;
    default:
        ((queue_done_cb *)op->cb)(op->ctx, err);
    }
}

static void free_settle(struct op *op)
{
    for (size_t i = 0; i < op->u.settle.count; i++) {
        free((char *)op->u.settle.items[i].reason.p);
        free((char *)op->u.settle.items[i].target.p);
    }
    free(op->u.settle.items);
}

static void free_read(struct op *op)
{
    for (size_t i = 0; i < op->u.read.n; i++)
        free(op->u.read.fields[i]);
    free(op->u.read.fields);
    free(op->u.read.entries);
}

void op_free(struct op *op)
{
    if (op->kind == OP_SETTLE)
        free_settle(op);
    else if (op->kind == OP_READ)
        free_read(op);
    else if (op->kind == OP_LEAD)
        free(op->u.lead.status);
    else if (op->kind == OP_RESTORE)
        free(op->u.restore.answer.spent);
    free(op);
}
