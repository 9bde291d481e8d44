/* SPDX-License-Identifier: MIT
 * An account's place in Redis, as typed operations: the three lane streams, lease, budget, later,
 * dead letters, receipts, control. The wire contract is written down in README.md ("Redis
 * contract"); the scripts live in queue_scripts.c, the key names in queue.c. This header is the
 * simulator's seam.
 *
 * Keys, all under the hash tag of the account, P = purgeline:{<account>}:
 *   Pjobs:urgent|normal|bulk  streams of jobs: read from the beginning after a take-over, and on
 *               from there; an entry is deleted when its job has ended
 *   Pdead       stream of dead letters: the job's own fields, then dead_reason, dead_job, dead_at,
 *               dead_target
 *   Plater      sorted set: score = due Unix ms, member = packed lane, id and fields
 *   Please      string: the owner, expiring
 *   Pbudget     hash, per ledger <k> in url|write|purge: <k>:open, <k>:level (micro-units),
 *               <k>:level_at (Unix ms); clock, clock_at, clock_wall: the account's time (below)
 *   Pspent:<k>  stream: one entry per booking, fields c = cost, t = when, by the account's time
 *   Preceipt:<job id>  string, JSON, expiring; job id = <lane>-<entry id>
 *   Pcontrol    hash: paused (0|1), why, by, at
 *   Pstatus     string, JSON written by the leader every second, expiring
 *   Pcancelled  list of job ids, expiring: taken back by their producers, for the leader to know
 *   Ponce:<digest>  string, expiring: the job that an Idempotency-Key stands for (app/intray)
 *   Psettled    pub/sub channel: job ids, space-separated, as they end
 *
 * Every callback comes exactly once, on the loop, never from within the call. err: 0;
 * -ENOTCONN (connection lost, effect unknown: repeat, all operations can be); -EPERM (the lease is
 * not ours); -ENOMEM (Redis is out of memory or its disk is full: it refuses writes); -EIO (any
 * other refusal, see queue_error). */
#pragma once

#include "budget.h"
#include "config.h"
#include "loop.h"
#include "redis.h"

struct queue;

struct entry_id {
    uint64_t ms;
    uint64_t seq;
};

struct queue_callbacks {
    void (*up)(void *ctx);                    /* both connections up, scripts loaded */
    void (*down)(void *ctx, const char *why); /* said once per outage */
};

/* `owner` names this incarnation in the lease (printable, no spaces). Both strings are copied. */
struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx);
void queue_close(struct queue *q, loop_cb *closed, void *ctx);
const char *queue_error(const struct queue *q); /* Redis' words for the last -EIO or -ENOMEM */

/* -- what the server is: fit to hold jobs? -- */
struct queue_server {
    char version[32];
    char maxmemory_policy[32]; /* "" when CONFIG is not permitted */
    uint64_t maxmemory;
    bool aof;
    bool aof_known;
};
typedef void queue_server_cb(void *ctx, int err, const struct queue_server *s);
void queue_server(struct queue *q, queue_server_cb *cb, void *ctx);

/* -- the account's time --
 * Clocks are set, and Redis moves to a machine with another one; a window must not seem over
 * because of that. So an account has a time of its own, in ms: it began as Redis' clock, each
 * leader counts it on by its monotonic clock, and Redis keeps it with both clocks as they were
 * then. Only between leaders, for the seconds that nobody counts, are clocks believed: whichever of
 * the two (Redis' and the new leader's own) says that less time has passed; and never more than a
 * leader that had lost its lease counted itself. */
struct queue_clock {
    uint64_t account_ms; /* the account's time; 0 = not known */
    uint64_t wall_ms;    /* the clock of this machine */
};

/* -- the lease -- */
#define QUEUE_CANCELLED_MAX 64
struct queue_lead {
    bool leading;     /* the lease is ours for ttl_ms from when this was asked */
    bool taken_over;  /* we did not hold it just before: read everything anew */
    char holder[160]; /* who leads otherwise */
    uint64_t holder_ttl_ms;
    bool paused; /* from control */
    char paused_why[160];
    /* Jobs that were cancelled since this was asked last; when it is full there may be more. Only
     * to the leader. Their entries are gone already. */
    struct queue_name {
        enum lane lane;
        struct entry_id id;
    } cancelled[QUEUE_CANCELLED_MAX];
    size_t cancelled_count;
};
typedef void queue_lead_cb(void *ctx, int err, const struct queue_lead *lead);
/* Takes or renews the lease. `usurp`: an owner known to be dead whose lease may be taken at once,
 * or NULL. `status` (JSON, may be empty) is published, and the account's time kept, when leading.
 */
void queue_lead(struct queue *q, uint64_t ttl_ms, const char *usurp, struct span status,
                const struct queue_clock *clock, queue_lead_cb *cb, void *ctx);
typedef void queue_done_cb(void *ctx, int err);
void queue_release(struct queue *q, queue_done_cb *cb, void *ctx); /* drops the lease if ours */

/* -- reading -- */
struct queue_entry {
    enum lane lane;
    struct entry_id id;
    const struct span *fields; /* name, value, name, value ...; lent */
    size_t fields_count;       /* spans, so twice the number of fields */
    uint64_t bytes;            /* as job_bytes counts them */
    bool oversized; /* beyond the ceiling: of its fields only the small ones without targets are
                       here, and it can only be buried */
};
struct queue_read {
    bool lanes[LANE_N]; /* the ones to read */
    uint32_t count;     /* at most so many entries of each */
    uint32_t block_ms;  /* how long to wait for a first entry; 0 = not at all */
    uint64_t entry_max_bytes;
    /* An entry of the lane turns out to have so many bytes and more: may it be held until it is
     * handed out? False: as for `entry`. */
    bool (*room)(void *ctx, enum lane lane, uint64_t bytes);
    /* The next entry. False: there is no room for it; it, and what stands behind it in its lane, is
     * read again by the next read. */
    bool (*entry)(void *ctx, const struct queue_entry *e);
    /* The read is over. all: the lanes that were asked hold nothing newer. */
    void (*done)(void *ctx, int err, bool all);
};
/* The next entries of the lanes after those that were handed out before and taken; one read
 * outstanding at a time, on the reader's own connection. Entries come one by one as they arrive,
 * lane by lane, urgent first, oldest first; then `done`. Reading leaves no trace in Redis. */
void queue_read(struct queue *q, const struct queue_read *how, void *ctx);
size_t queue_reading_bytes(const struct queue *q); /* memory that reading takes now */
/* The next read starts from the beginning: after a take-over. */
void queue_rewind(struct queue *q);

struct queue_depth {
    uint64_t entries;
    bool all_read; /* none is newer than what was handed out last */
    bool anew; /* its newest id is older than that: the stream was deleted, or Redis lost its end */
};
typedef void queue_depth_cb(void *ctx, int err, const struct queue_depth depth[LANE_N]);
void queue_depth(struct queue *q, queue_depth_cb *cb, void *ctx);

/* -- the end of jobs -- */
enum outcome { OUTCOME_PURGED, OUTCOME_DEAD, OUTCOME_CANCELLED, OUTCOME_EXPIRED, OUTCOME_LATER };
extern const char *const outcome_names[];

struct queue_settle {
    enum lane lane;
    struct entry_id id;
    enum outcome outcome;
    bool plain;       /* no ref, no original id, no repeat: nothing to look up in the entry */
    bool receipt;     /* write one */
    uint32_t targets; /* how many it named */
    uint64_t due_ms;  /* Unix ms. OUTCOME_LATER: when. OUTCOME_PURGED: when a repeat is due; 0: its
                         repeat_after from now, by this machine's clock as in queue_due */
    struct span reason; /* dead letters and receipts; lent */
    struct span target; /* the target that sank it; lent */
    bool oversized;     /* it is buried without a look at its entry: the letter has `fields` */
    const struct span *fields; /* lent */
    size_t fields_count;
};
/* Removes the entries, and atomically with each: a receipt, a dead letter holding the entry's own
 * fields, or its place in `later`. An entry that is gone already changes nothing; only a plain one
 * among others that are there gets a receipt, unless it has one. A purged entry with a
 * `repeat_after` field leaves a copy without that field and with `not_before` = due_ms in `later`:
 * a job of its own, "<job id>+r".
 *
 * A receipt: {"job","state","at" (Unix ms),"targets"[,"ref"][,"reason"]}; bytes that are no UTF-8
 * are read as Latin-1. When Redis is out of memory jobs end without receipts and err is 0; dead
 * letters and `later` are written even then, since they take no more than the entry they replace.
 * An entry of more than 3,500 fields dies, or comes back from `later`, in steps: a crash in between
 * leaves it twice. An oversized one is never looked at as a whole, here or by a script; its letter
 * has the fields given, without targets. */
void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  uint32_t receipt_ttl_s, queue_done_cb *cb, void *ctx);

/* Receipts left out because Redis was out of memory: jobs end all the same. Since queue_new. */
uint64_t queue_receipts_skipped(const struct queue *q);

/* -- later -- */
typedef void queue_due_cb(void *ctx, int err, uint32_t moved, uint64_t next_due_ms);
/* Moves at most `limit` entries whose time has come (wall_ms) back to their lanes, keeping the
 * original job id in field `job`. next_due_ms: Unix ms of the first that remains, NEVER when none
 * does. */
void queue_due(struct queue *q, uint64_t wall_ms, uint32_t limit, queue_due_cb *cb, void *ctx);

/* -- the budget -- */
/* If the lease is ours, and nobody else's restore came after ours: stores how much is open now
 * (absolute, so repeating it is harmless), books `book` units as spent now, stores the bucket's
 * level. Nothing may be sent on an open amount before this came back with 0. */
struct queue_spend {
    enum ledger ledger;
    uint64_t open; /* reserved and not yet booked, in all, after this */
    uint64_t book; /* spent since the last call; 0 = nothing to book */
    uint64_t level_micro;
    uint64_t window_ms; /* bookings older than this are trimmed, in time */
    struct queue_clock clock;
};
void queue_spend(struct queue *q, const struct queue_spend *s, queue_done_cb *cb, void *ctx);

struct queue_spent {
    int64_t age_ms; /* before now, by the account's time; negative: it may arrive until then */
    uint64_t cost;
};
struct queue_budget {
    bool known; /* this ledger was ever written */
    uint64_t level_micro;
    uint64_t level_age_ms;           /* by Redis' clock: it only paces */
    uint64_t account_ms;             /* the account's time now */
    const struct queue_spent *spent; /* oldest first */
    size_t spent_count;
};
typedef void queue_budget_cb(void *ctx, int err, const struct queue_budget *b);
struct queue_restore {
    enum ledger ledger;
    uint64_t window_ms;
    uint64_t late_ms;         /* so long what the predecessor sent may still be arriving */
    struct queue_clock clock; /* its time as counted by this process, if it led before */
};
/* After a take-over: books whatever the predecessor left open as spent late_ms from now, then reads
 * the window. */
void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx);

/* -- control -- */
void queue_pause(struct queue *q, bool paused, struct span why, queue_done_cb *cb, void *ctx);
