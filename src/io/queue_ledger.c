/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

/* Redis is sent totals, not differences, of bookings as well: an operation whose reply was lost may
 * or may not have been carried out. When it is repeated, given up, or folded into a later one, the
 * total of the next one puts the durable half right either way. */

struct spending {
    struct queue_spend s;
    uint32_t epoch;
    queue_done_cb *cb;
    void *ctx;
};

static void on_spent(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct spending *p = ctx;
    struct queue_ledger *ledger = &q->ledgers[p->s.ledger];

    if (err == 0 && (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1))
        err = -EPERM;
    if (err && p->epoch == ledger->epoch)
        ledger->booked -= p->s.book; /* not done, as far as the caller is concerned */
    p->cb(p->ctx, err);
    free(p);
}

static void begin(struct queue *q, struct queue_args *a, enum ledger ledger)
{
    queue_args_init(a);
    queue_key(a, q->keys[KEY_LEASE]);
    queue_key(a, q->keys[KEY_BUDGET]);
    queue_key(a, q->keys[KEY_SPENT + ledger]);
    queue_arg(a, span_str(q->owner));
    queue_arg(a, span_str(ledger_names[ledger]));
}

void queue_spend(struct queue *q, const struct queue_spend *s, queue_done_cb *cb, void *ctx)
{
    struct queue_ledger *ledger = &q->ledgers[s->ledger];
    struct spending *p = alloc_zeroed(1, sizeof(*p));
    struct queue_args a;

    *p = (struct spending){*s, ledger->epoch, cb, ctx};
    ledger->booked += s->book;
    begin(q, &a, s->ledger);
    queue_arg_u64(&a, ++q->seq);
    queue_arg_u64(&a, s->open);
    queue_arg_u64(&a, ledger->booked);
    queue_arg_u64(&a, s->book);
    queue_arg_u64(&a, s->level_micro);
    queue_arg_u64(&a, s->window_ms);
    queue_arg_u64(&a, s->clock.account_ms);
    queue_arg_u64(&a, s->clock.wall_ms);
    queue_call_script(q, SCRIPT_SPEND, &a, on_spent, p);
}

struct restoring {
    enum ledger ledger;
    queue_budget_cb *cb;
    void *ctx;
};

static uint64_t number_of(const redisReply *r)
{
    uint64_t n = 0;

    if (r->type == REDIS_REPLY_INTEGER)
        return r->integer > 0 ? (uint64_t)r->integer : 0;
    if (r->type != REDIS_REPLY_STRING || span_to_u64(span_of(r->str, (size_t)r->len), &n) < 0)
        return 0;
    return n;
}

/* Ages come as text: they may be negative. */
static int64_t age_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? strtoll(r->str, NULL, 10) : 0;
}

static void take_spent(struct queue *q, const redisReply *reply, struct queue_budget *b)
{
    size_t count = (reply->elements - 5) / 2;

    if (count > q->spent_room) {
        q->spent_room = count;
        q->spent = alloc_grow(q->spent, count, sizeof(*q->spent));
    }
    for (size_t i = 0; i < count; i++)
        q->spent[i] = (struct queue_spent){age_of(reply->element[5 + 2 * i]),
                                           number_of(reply->element[6 + 2 * i])};
    b->spent = q->spent;
    b->spent_count = count;
}

static void on_restored(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct restoring r = *(struct restoring *)ctx;
    struct queue_ledger *ledger = &q->ledgers[r.ledger];
    struct queue_budget b = {0};

    free(ctx);
    if (err == 0 && (reply->type != REDIS_REPLY_ARRAY || reply->elements < 5))
        err = -EPERM;
    if (err) {
        r.cb(r.ctx, err, NULL);
        return;
    }
    *ledger = (struct queue_ledger){.epoch = ledger->epoch + 1};
    b.known = number_of(reply->element[1]) == 1;
    b.level_micro = number_of(reply->element[2]);
    b.level_age_ms = number_of(reply->element[3]);
    b.account_ms = number_of(reply->element[4]);
    take_spent(q, reply, &b);
    r.cb(r.ctx, 0, &b);
}

void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx)
{
    struct restoring *restoring = alloc_zeroed(1, sizeof(*restoring));
    struct queue_args a;

    *restoring = (struct restoring){r->ledger, cb, ctx};
    begin(q, &a, r->ledger);
    queue_arg_u64(&a, r->window_ms);
    queue_arg_u64(&a, ++q->seq);
    queue_arg_u64(&a, r->late_ms);
    queue_arg_u64(&a, r->clock.account_ms);
    queue_arg_u64(&a, r->clock.wall_ms);
    queue_call_script(q, SCRIPT_RESTORE, &a, on_restored, restoring);
}
