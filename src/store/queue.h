/* SPDX-License-Identifier: MIT
 * An account's place in Redis, as typed operations: the three lane streams, lease, budget, later,
 * dead letters, receipts, control. The wire contract is written down in README.md ("Redis
 * contract"); the scripts live in src/store/scripts, the key names in queue.c. This header is the
 * simulator's seam.
 *
 * Keys, all under the hash tag of the account, P = purgeline:{<account>}:
 *   Pjobs:urgent|normal|bulk  streams of jobs: read from the beginning after a take-over, and on
 *               from there; an entry is deleted when its job has ended
 *   Pdead       stream of dead letters: the job's own fields, then dead_reason, dead_job, dead_at,
 *               dead_target
 *   Ppostponed  sorted set of jobs whose time has not come: score = due Unix ms, member = name
 *   Ppostponed:jobs  hash: name -> lane, job id, entry id and fields (queue_pack.h)
 *   Pplaces     hash: job id -> <lane>-<entry id>, of jobs that are back in a lane under another
 *               entry id than the one that their job id is made of
 *   Plater      what version 0.1.0 postponed: member = the packed job; moved over, see queue_due
 *   Please      string: the owner, expiring
 *   Pbudget     hash, per ledger <k> in url|write|purge: <k>:open, <k>:level (micro-units),
 *               <k>:level_at (Unix ms); clock, clock_at, clock_wall: the account's time (below)
 *   Pspent:<k>  stream: one entry per booking, fields c = cost, t = when, by the account's time
 *   Preceipt:<job id>  string, JSON, expiring; job id = <lane>-<entry id>
 *   Pcontrol    hash: paused (0|1), why, by, at
 *   Pstatus     string, JSON written by the leader every second, expiring
 *   Pcancelled  list of <lane>-<entry id>, expiring: taken back by their producers, for the leader
 *               to know; they stay until it has said that it knows them
 *   Ponce:<digest>  string, expiring: the job that an Idempotency-Key stands for (store/intray)
 *   Ponce:<digest>:before  string, within one transaction only: how the lane ended before the job
 *   Pbroken:<key>:<Unix ms>  what was set aside because it was not what it should be (store/repair)
 *   Psettled    pub/sub channel: job ids, space-separated, as they end
 *
 * Versions. Instances of two versions meet in one Redis while they are upgraded. So a form that is
 * stored may gain members, and never changes the meaning of one that it has; what must change gets
 * a new key (Plater became Ppostponed). A reader passes over what it does not know: members of
 * Pstatus, which says the `version` of the leader that wrote it, and of receipts; fields of Pbudget
 * and Pcontrol; keys. Two things it does not pass over, for it would do them wrongly, and makes
 * dead letters of: a job with an unknown field, and a packed job in Ppostponed:jobs that it cannot
 * read. `dead retry` sends the first again after the upgrade; and so daemons are upgraded before
 * producers.
 *
 * A job id that was given out finds its job without a search: its receipt; else its name in
 * Ppostponed (the name is the job id, unless somebody wrote a `job` field by hand that is taken
 * already); else its place; else the entry that the id is made of. The script that moves a job sets
 * and clears these.
 *
 * Each lane has a group, "purgeline", that nobody reads by: scripts ask by it whether an entry is
 * there, and which id is the newest, without being handed the entry (scripts/shared/there.lua,
 * newest.lua).
 *
 * Redis does nothing else while a script runs. None takes more than 5 ms, whatever producers put
 * into Redis: each does so much at most, and what is large by itself is moved by plain commands.
 *
 * Every callback comes exactly once, on the loop, never from within the call. err: 0;
 * -ENOTCONN (connection lost, effect unknown: repeat, all operations can be); -EPERM (the lease is
 * not ours); -ENOMEM (Redis is out of memory or its disk is full: it refuses writes); -EIO (any
 * other refusal: `refused` has Redis' words). */
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

/* Redis answered a question with an error that is neither a lost connection nor a lost lease. */
struct queue_refusal {
    uint64_t question; /* the same for the same question about the same keys */
    const char *doing; /* what was asked for: "renew the lease" */
    const char *words; /* Redis' own */
};

struct queue_callbacks {
    void (*up)(void *ctx);                    /* both connections up, scripts loaded */
    void (*down)(void *ctx, const char *why); /* once per outage, and when its reason changes */
    /* Every refusal of every question, before the question's own callback; and once when a question
     * that was refused is answered. May be NULL. */
    void (*refused)(void *ctx, const struct queue_refusal *r);
    void (*accepted)(void *ctx, uint64_t question);
};

/* `owner` names this incarnation in the lease (printable, no spaces). Both strings are copied. */
struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx);
void queue_close(struct queue *q, loop_cb *closed, void *ctx);

/* -- what the server is: fit to hold jobs? -- */
struct queue_server {
    char version[32];
    char maxmemory_policy[32]; /* "" when CONFIG is not permitted */
    uint64_t maxmemory;
    bool full; /* at its maxmemory: it refuses whatever needs memory */
    bool aof;
    bool aof_known;
};
typedef void queue_server_cb(void *ctx, int err, const struct queue_server *s);
void queue_server(struct queue *q, queue_server_cb *cb, void *ctx);

/* -- are the account's keys what they should be? --
 * Looks for keys of the wrong type, values in `budget` that are no numbers, a lease without an end,
 * and a lane whose ids are beyond any clock, so that every later job of it is malformed. */
#define QUEUE_FAULTS_MAX 16
struct queue_fault {
    char key[160];
    char what[96]; /* "holds a string where a stream belongs" */
};
typedef void queue_examine_cb(void *ctx, int err, const struct queue_fault *faults, size_t count);
void queue_examine(struct queue *q, queue_examine_cb *cb, void *ctx);
/* The faults in the reply of SCRIPT_EXAMINE; how many. */
size_t queue_faults(const struct redisReply *reply, struct queue_fault out[QUEUE_FAULTS_MAX]);
#define QUEUE_EXAMINED 15 /* keys of SCRIPT_EXAMINE, in its order: queue_examined_keys */
extern const char *const queue_examined_keys[QUEUE_EXAMINED]; /* "jobs:urgent" ... */

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
    /* Jobs that were cancelled; when it is full there may be more. Only to the leader. Their
     * entries are gone already. They are forgotten when this is asked for the next time: an answer
     * that is lost is told again. */
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
/* Redis does nothing else while a script runs, and turning an entry into Lua's strings costs more
 * than anything that is done with it. Entries beyond either of these are `large`: they are moved by
 * plain commands, one step after the other. */
#define QUEUE_SMALL_SPANS 32 /* names and values */
#define QUEUE_SMALL_BYTES 4096
static inline bool queue_entry_is_large(const struct queue_entry *e)
{
    size_t bytes = 0;

    for (size_t i = 0; i < e->fields_count && bytes <= QUEUE_SMALL_BYTES; i++)
        bytes += e->fields[i].n;
    return e->fields_count > QUEUE_SMALL_SPANS || bytes > QUEUE_SMALL_BYTES;
}

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

/* Milliseconds of an entry id that a clock can give: until the year 10889. */
static inline bool queue_id_is_beyond(struct entry_id id)
{
    return id.ms >> 48 != 0;
}

struct queue_depth {
    uint64_t entries;
    bool all_read; /* none is newer than what was handed out last */
    bool beyond; /* its newest id is beyond what any clock gives; so will be those of all to come */
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
    bool large;       /* the entry is (queue_entry_is_large): it is moved in steps */
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
 * fields, or its place in `postponed`. An entry that is gone already changes nothing; only a plain
 * one among others that are there gets a receipt, unless it has one. A purged entry with a
 * `repeat_after` field above 0 leaves a copy without that field and with `not_before` = due_ms in
 * `postponed`: a job of its own, "<job id>+r".
 *
 * A receipt: {"job","state","at" (Unix ms),"targets"[,"ref"][,"reason"][,"scope"]}; bytes that are
 * no UTF-8 are read as Latin-1. `scope` comes with ref and reason and says what a producer must be
 * allowed to purge to be shown them: "url", "key", "all", "service:<name>", "host:<host>", "large".
 * When Redis is out of memory jobs end without receipts and err is 0; what dies or is postponed is
 * written even then, since it takes no more than the entry it replaces (but one of more than 256
 * KiB or some 1,000 fields waits for memory). A large entry moves in steps: a crash in between
 * leaves it twice. An oversized one is never looked at as a
 * whole, here or by a script; its letter has the fields given, without targets. */
void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  uint32_t receipt_ttl_s, queue_done_cb *cb, void *ctx);

/* Receipts left out because Redis was out of memory: jobs end all the same. Since queue_new. */
uint64_t queue_receipts_skipped(const struct queue *q);

/* -- later -- */
typedef void queue_due_cb(void *ctx, int err, uint32_t moved, uint64_t next_due_ms);
/* Moves at most `limit` entries whose time has come (wall_ms) back to their lanes, keeping the
 * original job id in field `job`. next_due_ms: Unix ms of the first that remains, NEVER when none
 * does. What version 0.1.0 left in `later` is moved to `postponed` on the way, a page in each call
 * until nothing is left; next_due_ms is wall_ms while there may be more. */
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
