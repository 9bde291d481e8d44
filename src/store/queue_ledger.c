/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

/* Redis is sent totals, not differences, of bookings as well, because an operation whose reply was
 * lost may or may not have been carried out. Whether it is repeated, given up, or folded into a
 * later one, the total of the next operation puts the durable half right. */

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

    if (err == 0 && reply_number(reply) != 1)
        err = -EPERM;
    if (err && p->epoch == ledger->epoch)
        ledger->booked -= p->s.book; /* not done, from the caller's view */
    p->cb(p->ctx, err);
    free(p);
}

static void begin(struct queue *q, struct queue_args *a, enum ledger_kind ledger)
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
    queue_arg_u64(&a, s->learnt.burst);
    queue_arg_u64(&a, s->learnt.spent);
    queue_arg_u64(&a, minus_u64(s->clock.account_ms, s->learnt.age_ms));
    queue_arg_u64(&a, s->ahead);
    queue_call_script(q, SCRIPT_SPEND, &a, on_spent, p);
}

/* -- after a take-over -- */

#define BOOKINGS_AT_ONCE 500

struct restoring {
    struct queue_restore how;
    queue_budget_cb *cb;
    void *ctx;
    struct queue_budget budget;
    struct queue_spent *spent;
    size_t room;
};

static void end_restore(struct restoring *r, int err)
{
    r->budget.spent = r->spent;
    r->cb(r->ctx, err, err ? NULL : &r->budget);
    free(r->spent);
    free(r);
}

static struct queue_spent *one_more(struct restoring *r)
{
    if (r->budget.spent_count == r->room) {
        r->room = r->room ? r->room * 2 : BOOKINGS_AT_ONCE;
        r->spent = alloc_grow(r->spent, r->room, sizeof(*r->spent));
    }
    return &r->spent[r->budget.spent_count++];
}

/* Returns now - then, where both may be any number. */
static int64_t age_of(uint64_t then_ms, uint64_t now_ms)
{
    bool past = now_ms > then_ms;
    uint64_t apart = past ? now_ms - then_ms : then_ms - now_ms;
    int64_t ms = (int64_t)min_u64(apart, INT64_MAX);

    return past ? ms : -ms;
}

/* A booking written by hand has no time but the one in its id, by Redis' clock. */
static void take_booking(struct restoring *r, const struct redisReply *entry)
{
    const struct redisReply *fields = reply_at(entry, 1);
    struct entry_id id = {0, 0};
    uint64_t when_ms;
    int64_t age_ms;

    if (reply_count(fields) < 2 || queue_parse_id(reply_text(reply_at(entry, 0)), &id) < 0)
        return;
    when_ms = reply_count(fields) >= 4 ? reply_u64(reply_at(fields, 3)) : id.ms;
    age_ms = age_of(when_ms, r->budget.account_ms);
    if (age_ms <= (int64_t)r->how.window_ms)
        *one_more(r) = (struct queue_spent){age_ms, reply_u64(reply_at(fields, 1))};
}

static void ask_bookings(struct queue *q, struct restoring *r, const char *from);

static void on_bookings(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct restoring *r = ctx;
    size_t count = reply_count(reply);
    char from[64] = "(";

    if (err == 0 && !reply_is_array(reply))
        err = -EIO;
    for (size_t i = 0; err == 0 && i < count; i++)
        take_booking(r, reply_at(reply, i));
    if (err || count < BOOKINGS_AT_ONCE) {
        end_restore(r, err);
        return;
    }
    reply_copy(reply_at(reply_at(reply, count - 1), 0), from + 1, sizeof(from) - 1);
    ask_bookings(q, r, from);
}

/* Reads page by page, because there is a booking for each second of the window, or more. */
static void ask_bookings(struct queue *q, struct restoring *r, const char *from)
{
    char count[16];

    snprintf(count, sizeof(count), "%d", BOOKINGS_AT_ONCE);
    queue_call(q, 6,
               (const struct span[]){SPAN("XRANGE"), span_str(q->keys[KEY_SPENT + r->how.ledger]),
                                     span_str(from), SPAN("+"), SPAN("COUNT"), span_str(count)},
               on_bookings, r);
}

static void on_restored(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    struct restoring *r = ctx;
    struct queue_ledger *ledger = &q->ledgers[r->how.ledger];

    if (err == 0 && reply_count(reply) < 9)
        err = -EPERM;
    if (err) {
        end_restore(r, err);
        return;
    }
    *ledger = (struct queue_ledger){.epoch = ledger->epoch + 1};
    snprintf(ledger->history, sizeof(ledger->history), "%s", q->led_in);
    r->budget.known = reply_u64(reply_at(reply, 1)) == 1;
    r->budget.level_micro = reply_u64(reply_at(reply, 2));
    r->budget.level_age_ms = reply_u64(reply_at(reply, 3));
    r->budget.account_ms = reply_u64(reply_at(reply, 4));
    r->budget.learnt =
        (struct queue_learnt){reply_u64(reply_at(reply, 5)), reply_u64(reply_at(reply, 6)),
                              reply_u64(reply_at(reply, 7))};
    r->budget.ahead = reply_u64(reply_at(reply, 8));
    ask_bookings(q, r, "-");
}

void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx)
{
    struct restoring *restoring = alloc_zeroed(1, sizeof(*restoring));
    struct queue_args a;

    *restoring = (struct restoring){.how = *r, .cb = cb, .ctx = ctx};
    begin(q, &a, r->ledger);
    queue_arg_u64(&a, ++q->seq);
    queue_arg_u64(&a, r->late_ms);
    queue_arg_u64(&a, r->clock.account_ms);
    queue_arg_u64(&a, r->clock.wall_ms);
    queue_arg_u64(&a, r->ahead);
    queue_arg(&a, span_str(q->ledgers[r->ledger].history));
    queue_call_script(q, SCRIPT_RESTORE, &a, on_restored, restoring);
}
