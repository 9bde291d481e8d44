/* SPDX-License-Identifier: MIT
 * What Redis holds of one account, and what each operation of the queue does to it, all at once and
 * without a network: the honest half of the fake queue. A differential test plays the same
 * operations on this and on a real redis-server. Times are Redis' own clock, in Unix ms. */
#pragma once

#include "buf.h"
#include "map.h"
#include "stream.h"

struct receipt {
    char state[16];
    uint64_t at_ms, expires_ms;
    uint64_t targets;
    char *ref, *reason; /* NULL: none */
    uint32_t writes;    /* how often it was written: more than once is once too often */
};

struct later {
    uint64_t due_ms;
    enum lane lane;
    struct entry_id id;
    char *job;
    struct fields *fields;
    struct buf member; /* as Redis has it: what decides among equals */
};

struct booking {
    uint64_t ms;
    uint64_t cost;
};

struct store_ledger {
    bool known;
    char owner[160];
    uint64_t seq, open, level_micro, level_at_ms;
    uint64_t booked;
    struct booking *spent;
    size_t spent_count, spent_room;
};

/* Told of every end of a job, from within the operation that ends it. */
struct store_ended {
    struct span job;
    enum outcome outcome; /* never OUTCOME_LATER */
    struct span reason, target;
    bool repeats; /* it left a job "<id>+r" in later */
    bool receipt;
};
typedef void store_ended_cb(void *ctx, const struct store_ended *end);
typedef void store_added_cb(void *ctx); /* something may be read */

struct store {
    char *account;
    struct stream lanes[LANE_N];
    struct stream dead;
    struct later *later; /* sorted by due_ms, then member */
    size_t later_count, later_room;
    char lease[160]; /* "" = nobody */
    uint64_t lease_until_ms;
    struct map receipts;
    struct store_ledger ledgers[LEDGER_N];
    struct queue_clock clock; /* the account's time, as it was kept last ... */
    uint64_t clock_at_ms;     /* ... when Redis' clock said so */
    struct queue_name cancelled[QUEUE_CANCELLED_MAX * 4]; /* for the leader, oldest first */
    size_t cancelled_count;
    uint64_t cancelled_heard; /* so many before these are known to a leader */
    bool paused;
    char paused_why[160];
    char *status;        /* JSON, or NULL */
    char policy[32];     /* maxmemory-policy */
    bool out_of_memory;  /* takes nothing more, gives and deletes all the same */
    bool disk_full;      /* refuses every write */
    uint32_t refuses;    /* operations of the fake queue that are refused: 1 << enum op_kind */
    char broken_key[32]; /* what the examination of the keys finds; "" = nothing */
    store_ended_cb *ended;
    store_added_cb *added;
    void *ctx;
};

struct store *store_new(const char *account);
void store_free(struct store *s);

/* What a producer does: XADD. 0, or -ENOMEM. */
must_use int store_push(struct store *s, enum lane lane, const struct span *fields, size_t count,
                        uint64_t now_ms, struct entry_id *id);

/* The same of taking a job back, as the endpoint does it: whether it was there. */
bool store_cancel(struct store *s, enum lane lane, struct entry_id id);

/* DEL of the empty lanes: ids may begin anew, below what was there. */
void store_delete_lanes(struct store *s);

/* The operations of store/queue.h; err as there. `told`: how many cancelled jobs this owner has
 * heard of, counted from the first one ever; then how many it is told of. */
must_use int store_lease(struct store *s, const char *owner, uint64_t ttl_ms, const char *usurp,
                         struct span status, const struct queue_clock *clock, uint64_t now_ms,
                         uint64_t *told, struct queue_lease *out);
must_use int store_release(struct store *s, const char *owner, uint64_t now_ms);
must_use int store_pause(struct store *s, bool paused, struct span why);
void store_depth(const struct store *s, const struct entry_id seen[LANE_N],
                 struct queue_depth depth[LANE_N]);
void store_server(const struct store *s, struct queue_server *out);
/* At most `most` entries of a lane; lent until the lane changes. */
size_t store_read(struct store *s, enum lane lane, struct entry_id seen, uint32_t most,
                  uint64_t now_ms, struct stream_entry **out);
must_use int store_settle(struct store *s, const struct queue_settle *items, size_t count,
                          uint32_t ttl_s, uint64_t wall_ms, uint64_t now_ms, uint64_t *skipped);
must_use int store_due(struct store *s, uint64_t wall_ms, uint32_t limit, uint64_t now_ms,
                       uint32_t *moved, uint64_t *next_due_ms);
/* `booked`: all that this owner booked since it took over, s->book of it in this operation. */
must_use int store_spend(struct store *s, const char *owner, uint64_t seq,
                         const struct queue_spend *spend, uint64_t booked, uint64_t now_ms);
struct store_window {
    struct queue_budget budget;
    struct queue_spent *spent; /* free() */
};
must_use int store_restore(struct store *s, const char *owner, uint64_t seq,
                           const struct queue_restore *r, uint64_t now_ms,
                           struct store_window *out);

/* -- for those who look -- */
const char *store_holder(const struct store *s, uint64_t now_ms); /* "" = nobody */
const struct receipt *store_receipt(const struct store *s, const char *job);
uint64_t store_waiting(const struct store *s); /* entries in the lanes and in later */

/* -- for its own files -- */
void store_add(struct store *s, enum lane lane, struct fields *f, uint64_t now_ms);
void store_postpone(struct store *s, const struct later *l); /* takes job and fields */
void store_drop_later(struct store *s, size_t i);
