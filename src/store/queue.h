/* SPDX-License-Identifier: MIT
 * An account's place in Redis, as typed operations: the three lane streams, lease, budget, later,
 * dead letters, receipts, control. The wire contract is written down in README.md ("Redis
 * contract"); the scripts live in src/store/scripts, the key names in queue.c. This header is the
 * simulator's seam.
 *
 * Keys, all under the hash tag of the account, P = purgeline:{<account>}:
 *   Pjobs:urgent|normal|bulk  streams of jobs, which a new leader reads from the beginning; an
 *               entry is deleted when its job has ended
 *   Pdead       stream of dead letters: the job's own fields, then dead_reason, dead_job, dead_at,
 *               dead_target
 *   Ppostponed  sorted set of jobs whose time has not come: score = due Unix ms, member = name
 *   Ppostponed:jobs  hash: name -> lane, job id, entry id and fields (queue_pack.h)
 *   Pplaces     hash: job id -> <lane>-<entry id>, of jobs that are back in a lane under another
 *               entry id than the one that their job id is made of
 *   Plater      what version 0.1.0 postponed: member = the packed job; moved over, see queue_due
 *   Please      string: the owner, expiring
 *   Pbudget     hash, per ledger <k> in url|write|purge: <k>:open, <k>:level (micro-units),
 *               <k>:level_at (Unix ms); <k>:learnt, <k>:learnt_spent, <k>:learnt_at (by the
 *               account's time): what a 429 taught; clock, clock_at, clock_wall: the account's time
 *               (below)
 *               lease_history; <k>:ahead, <k>:history: Redis' replication history, if writes may be
 *               lost, and how many units they can be (queue_frail)
 *   Pspent:<k>  stream: one entry per booking, fields c = cost, t = when, by the account's time
 *   Preceipt:<job id>  string, JSON, expiring; job id = <lane>-<entry id>
 *   Phistory    stream: what became of jobs, one entry per write (scripts/shared/write_entry.lua)
 *   Phistory:size  hash: total = number of jobs that the history ever got, first = how many of them
 *               came before those that it still has
 *   Phistory:at:<Unix seconds, a multiple of 4>  sorted set, expiring: which entries of the history
 *               have receipts of jobs that were accepted in these four seconds
 *   Pcontrol    hash: paused (0|1), why, by, at
 *   Pstatus     string, JSON written by the leader every second, expiring
 *   Pinstances  sorted set, expiring: the instances that are configured with the account, whom the
 *               leader will hand it to, and when it was last moved (scripts/lead.lua)
 *   Pconsumers  hash, expiring: <consumer>/<host> -> JSON, what the consumer there told last
 *               (consumer_state.c)
 *   Preads      hash: the requests that read Fastly's API (scripts/take_read.lua)
 *   Pcancelled  list of <lane>-<entry id>, expiring: jobs that their producers cancelled; they stay
 *               until the leader has confirmed that it knows them
 *   Ponce:<digest>  string, expiring: the job that an Idempotency-Key stands for (store/submit)
 *   Ponce:<digest>:before  string, within one transaction only: the lane's newest id before the job
 *   Pbroken:<key>:<Unix ms>  a broken key that a repair has set aside (store/repair)
 *   Psettled    pub/sub channel: job ids, space-separated, as they end
 *
 * Versions. During an upgrade, instances of two versions use the same Redis. So a stored format may
 * gain members, but the meaning of a member never changes; what must change gets a new key (Plater
 * became Ppostponed). A reader ignores what it does not know: members of receipts and of Pstatus,
 * which holds the `version` of the leader that wrote it; fields of Pbudget and Pcontrol; keys. Two
 * things are not ignored, because they would be handled wrongly, and become dead letters: a job
 * with an unknown field, and a packed job in Ppostponed:jobs that cannot be read. `dead retry`
 * sends the former again after the upgrade. For this reason daemons are upgraded before producers.
 *
 * The id of a job leads to the job without a search: to its receipt (a key, or a line of the
 * history: the setting receipts_in says where they are written, and readers look for both); else to
 * its name in Ppostponed (the name is the job id, unless somebody wrote a `job` field by hand with
 * an id that is already taken); else to its place in Pplaces; else to the entry that the id is made
 * of. The script that moves a job sets and clears these.
 *
 * Each lane has a consumer group, "purgeline", which is not used for reading. Scripts use it to
 * find out whether an entry exists, and which id is the newest, without receiving the entry
 * (scripts/shared/there.lua, newest.lua).
 *
 * Redis does nothing else while a script runs. No script takes more than 5 ms, whatever producers
 * put into Redis: each script does a limited amount of work, and large jobs are moved by plain
 * commands.
 *
 * Every callback is called exactly once, on the loop, never from within the call. err: 0;
 * -ENOTCONN (the connection was lost and the effect is unknown: repeat the operation, which is
 * always possible); -EPERM (the lease is not ours); -ENOMEM (Redis is out of memory or its disk is
 * full, so it refuses writes; or too few replicas have what was written); -EIO (any other refusal:
 * `refused` gets Redis' error). */
#pragma once

#include "budget.h"
#include "config.h"
#include "loop.h"
#include "outcome.h"
#include "reads.h"
#include "redis.h"

struct queue;

struct entry_id {
    uint64_t ms;
    uint64_t seq;
};

/* Redis answered a question (a command or a script) with an error that is neither a lost connection
 * nor a lost lease. */
struct queue_refusal {
    uint64_t question; /* the same for the same question about the same keys */
    const char *doing; /* what was asked for, like "renew the lease" */
    const char *words; /* Redis' error */
};

struct queue_callbacks {
    void (*up)(void *ctx);                    /* both connections up, scripts loaded */
    void (*down)(void *ctx, const char *why); /* once per outage, and when its reason changes */
    /* `refused` is called for every refusal of every question, before the question's own callback;
     * `accepted` once when a question that was refused is answered. Both may be NULL. */
    void (*refused)(void *ctx, const struct queue_refusal *r);
    void (*accepted)(void *ctx, uint64_t question);
};

struct connections; /* connections.h */

/* `owner` names this process in the lease (printable, no spaces). Both strings are copied. The
 * queue has connections of its own. */
struct queue *queue_new(struct loop *l, const struct redis_address *a, const char *account,
                        const char *owner, const struct queue_callbacks *cb, void *ctx);
/* The same on connections that other queues use, too. */
struct queue *queue_new_shared(struct connections *c, const char *account, const char *owner,
                               const struct queue_callbacks *cb, void *ctx);
void queue_close(struct queue *q, loop_cb *closed, void *ctx);

/* -- the server: is it fit to hold jobs? -- */
struct queue_server {
    char version[32];
    char maxmemory_policy[32]; /* "" if CONFIG is not permitted */
    uint64_t maxmemory;
    bool full; /* at its maxmemory: refuses commands that need memory */
    bool aof;
    bool aof_known;
    bool syncs_always; /* it is known to write its append-only file before it answers */
    uint64_t replicas; /* connected */
};
typedef void queue_server_cb(void *ctx, int err, const struct queue_server *s);
void queue_server(struct queue *q, queue_server_cb *cb, void *ctx);

/* -- are the account's keys sound? --
 * Looks for keys of the wrong type, values in `budget` that are no numbers, a lease that never
 * expires, and a lane whose ids are beyond any clock, so that all its later jobs are malformed. */
#define QUEUE_FAULTS_MAX 16
struct queue_fault {
    char key[160];
    char what[96]; /* like "holds a string where a stream belongs" */
};
typedef void queue_examine_cb(void *ctx, int err, const struct queue_fault *faults, size_t count);
void queue_examine(struct queue *q, queue_examine_cb *cb, void *ctx);
#define QUEUE_EXAMINED 17 /* keys of SCRIPT_EXAMINE, in its order: queue_examined_keys */
extern const char *const queue_examined_keys[QUEUE_EXAMINED]; /* "jobs:urgent" ... */

/* -- the account's time --
 * Clocks may be set, and Redis may move to a machine with another clock; a budget window must not
 * seem over because of that. So each account has a time of its own, in ms. It began as Redis'
 * clock; each leader advances it by its monotonic clock; and Redis stores it together with the
 * Redis clock and the leader's clock of that moment. Wall clocks are used only for the seconds
 * between two leaders, when nobody counts. Of the two (Redis' and the new leader's own), the one
 * that says that less time has passed is believed, and never more than a leader that had lost its
 * lease has counted itself. */
struct queue_clock {
    uint64_t account_ms; /* the account's time; 0: unknown */
    uint64_t wall_ms;    /* the clock of this machine */
};

/* -- the lease -- */
#define QUEUE_CANCELLED_MAX 64
#define QUEUE_INSTANCES_MAX 63 /* others; more are ignored */
enum queue_role { QUEUE_STANDBY, QUEUE_READY, QUEUE_LEADER, QUEUE_LEAVING, QUEUE_ROLE_N };
/* What an instance tells the others when it asks for the lease. */
struct queue_announcement {
    enum queue_role role;
    bool may_take;    /* an absent lease, although there are other instances. Who is alone, and whom
                         the leader hands the account to, may always */
    const char *next; /* of the leader: whom it will hand the account to; NULL: nobody */
    bool holds;       /* we count on the lease if it is ours. If not, a lease under our name in
                         another history is one that we gave back before a failover lost that */
};
struct queue_lease {
    bool leading;     /* the lease is ours for ttl_ms from when it was requested */
    bool taken_over;  /* we did not hold it just before: read everything again */
    char holder[160]; /* the leader, if we do not lead */
    uint64_t holder_ttl_ms;
    bool withheld; /* nobody holds the lease. A failover or restart of Redis may have lost one, so
                      we get it after ttl_ms */
    bool paused;   /* from the key `control` */
    char paused_why[160];
    /* Cancelled jobs, only told to the leader; if the list is full there may be more. Their entries
     * are gone already. The next request lets Redis forget them, so jobs in a lost answer are told
     * again. */
    struct queue_name {
        enum lane lane;
        struct entry_id id;
    } cancelled[QUEUE_CANCELLED_MAX];
    size_t cancelled_count;
    /* Other instances that are configured with this account and were heard of in the last seconds;
     * lent during the callback. */
    struct queue_instance {
        struct span owner;
        bool ready;   /* to lead the account, which is being handed to it */
        bool leaving; /* it stops: it takes nothing any more */
    } others[QUEUE_INSTANCES_MAX];
    size_t others_count;
    bool next;         /* the leader hands the account to us */
    uint64_t moved_ms; /* how long ago it was moved to balance the instances; NEVER: not lately */
};
typedef void queue_lease_cb(void *ctx, int err, const struct queue_lease *lead);
/* Takes or renews the lease. `usurp`: an owner known to be dead whose lease may be taken at once,
 * or NULL. If we lead, `status` (JSON, may be empty) is published and the account's time is stored.
 * `said` NULL: nothing is announced, an absent lease is taken, and we count on one of our own. */
void queue_lease(struct queue *q, uint64_t ttl_ms, const char *usurp, struct span status,
                 const struct queue_clock *clock, const struct queue_announcement *said,
                 queue_lease_cb *cb, void *ctx);
/* Whether Redis may lose its last writes, by a failover or a crash, although it has answered. If
 * so, each lease is written down together with Redis' replication history (master_replid), which is
 * another one after a failover or a restart. Who then finds no lease waits for the length of one
 * before it takes the lease. */
enum queue_frailty { QUEUE_KEEPS, QUEUE_MAY_LOSE };
void queue_frail(struct queue *q, enum queue_frailty f);
typedef void queue_done_cb(void *ctx, int err);
enum queue_release_why { QUEUE_HANDS_OVER, QUEUE_LEAVES, QUEUE_BALANCES };
/* Drops the lease if it is ours. */
void queue_release(struct queue *q, enum queue_release_why why, queue_done_cb *cb, void *ctx);

/* -- reading -- */
struct queue_entry {
    enum lane lane;
    struct entry_id id;
    const struct span *fields; /* name, value, name, value ...; lent */
    size_t fields_count;       /* spans, so twice the number of fields */
    uint64_t bytes;            /* as job_bytes counts them */
    bool oversized; /* larger than entry_max_bytes: `fields` has only its small fields without
                       targets, and it can only become a dead letter */
};
/* Redis does nothing else while a script runs, and converting an entry into Lua strings costs more
 * than anything that is done with it. Entries beyond either of these limits are `large`: they are
 * moved by plain commands, one step after the other. */
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
    bool lanes[LANE_N]; /* the lanes to read */
    uint32_t count;     /* limit of entries of each lane */
    uint32_t block_ms;  /* how long to wait for a first entry; 0: not at all */
    uint64_t entry_max_bytes;
    /* Called when an entry of the lane turns out to have at least `bytes` bytes: may it be held
     * until it is handed out? Returning false has the same effect as for `entry`. */
    bool (*room)(void *ctx, enum lane lane, uint64_t bytes);
    /* Called for the next entry. False: there is no room for it; the entry and all later ones of
     * its lane are read again by the next read. */
    bool (*entry)(void *ctx, const struct queue_entry *e);
    /* Called when the read is over. all: the lanes that were read hold nothing newer. */
    void (*done)(void *ctx, int err, bool all);
};
/* Reads the entries of the lanes that follow those handed out before and accepted. Only one read
 * may be outstanding; it uses the reader's own connection. Entries are handed out one by one as
 * they arrive, lane by lane, urgent first, oldest first; then `done` is called. Reading leaves no
 * trace in Redis. */
void queue_read(struct queue *q, const struct queue_read *how, void *ctx);
size_t queue_reading_bytes(const struct queue *q); /* memory that reading uses now */
/* Makes the next read start from the beginning, after a take-over. */
void queue_rewind(struct queue *q);

/* True if no clock gives the milliseconds of this id before the year 10889. */
static inline bool queue_id_is_beyond(struct entry_id id)
{
    return id.ms >> 48 != 0;
}

struct queue_depth {
    uint64_t entries;
    bool all_read; /* no entry is newer than the last one handed out */
    bool beyond;   /* its newest id is beyond any clock, and so will be all later ids */
    bool anew; /* newest id older than the last handed out: stream deleted, or Redis lost its end */
};
typedef void queue_depth_cb(void *ctx, int err, const struct queue_depth depth[LANE_N]);
void queue_depth(struct queue *q, queue_depth_cb *cb, void *ctx);

/* -- the end of jobs -- */
struct queue_settle {
    enum lane lane;
    struct entry_id id;
    enum outcome outcome;
    bool plain;       /* no ref, original id, repeat or verify: its entry need not be looked at */
    bool large;       /* the entry is large (queue_entry_is_large): it is moved in steps */
    bool receipt;     /* write a receipt */
    uint32_t targets; /* number of targets that it named */
    uint64_t due_ms;  /* Unix ms. OUTCOME_LATER: when it is due. OUTCOME_PURGED: when its repeat is
                         due; 0: repeat_after from now, by this machine's clock as in queue_due.
                         Must be given for a repeat_after of `auto` */
    struct span reason;        /* for dead letters and receipts; lent */
    struct span target;        /* the target that made it fail; lent */
    struct span proof;         /* OUTCOME_PURGED of a job that is not plain: what looks at its pages
                                  found, as members of the receipt: "verified":"fresh"; lent */
    struct span services;      /* OUTCOME_DEAD of a job for several services: the ids of those that
                                  failed, separated by spaces; empty: all of them; lent */
    struct span purge;         /* for the history: members of `purge` in its line, as
                                  history_put_purge writes them; without a history only `by`, for
                                  the receipt; lent */
    bool named;                /* `purge` has its targets, so the entry need not be looked at */
    bool oversized;            /* ends without a look at its entry: its letter has `fields` */
    const struct span *fields; /* lent */
    size_t fields_count;
};
/* Removes the entries, and atomically with each writes a receipt, a dead letter with the entry's
 * own fields (but only those services that failed), or its place in `postponed`. An entry that is
 * gone already changes nothing, except that a plain one gets a receipt if it has none and other
 * plain entries are there. A purged entry with a `repeat_after` field above 0, or `auto`, leaves a
 * copy without that field and `when`, and with `not_before` = due_ms, in `postponed`: a job of its
 * own, "<job id>+r".
 *
 * A receipt: {"job","state","at" (Unix ms),"targets"[,"ref"][,"reason"][,"scope"]
 * [,"failed_services":[ids]][,"verified","repairs","stale_ms","verified_why"][,"by"]}; bytes that
 * are not UTF-8 are read as Latin-1. `by` is who pushed the job. `scope` comes with ref and reason
 * and says what a producer must be allowed to purge to be shown them: "url", "key", "all",
 * "service:<name>", "host:<host>", "large". When Redis is out of memory, jobs end without receipts
 * and history, and err is 0. Dead letters and postponed jobs are written even then, since they take
 * no more memory than the entries that they replace (but an entry of more than 256 KiB or some
 * 1,000 fields waits for memory). A large entry is moved in steps, and a crash in between leaves it
 * twice. An oversized entry is never read as a whole, here or by a script; its letter has the given
 * fields, without targets. */
struct queue_keep {
    uint32_t receipt_ttl_s;
    uint32_t history_jobs; /* limit of the history; 0: there is none */
    uint32_t history_ttl_s;
    bool inside; /* receipts are in the history, not in keys */
};
/* Writes what scripts are told of the history (scripts/shared/write_entry.lua). Returns `text`. */
#define QUEUE_HISTORY_ROOM 40
const char *queue_history_arg(const struct queue_keep *keep, char text[QUEUE_HISTORY_ROOM]);
void queue_settle(struct queue *q, const struct queue_settle *items, size_t count,
                  const struct queue_keep *keep, queue_done_cb *cb, void *ctx);
/* Notes an act (act.h) in the history, which there is; if that fails, it is not noted. */
void queue_note(struct queue *q, const struct queue_keep *keep, struct span line);

/* Number of receipts left out because Redis was out of memory, and of jobs left out of the history
 * because of that or because its key cannot be written; since queue_new. These jobs have ended all
 * the same. */
uint64_t queue_receipts_skipped(const struct queue *q);
uint64_t queue_history_skipped(const struct queue *q);

/* -- postponed jobs -- */
typedef void queue_due_cb(void *ctx, int err, uint32_t moved, uint64_t next_due_ms);
/* Moves at most `limit` jobs whose time has come (wall_ms) back to their lanes, with the original
 * job id in the field `job`. next_due_ms: when the first of the remaining jobs is due, in Unix ms;
 * NEVER if none remains. Each call also moves a page of what version 0.1.0 left in `later` to
 * `postponed`, until nothing is left; while there may be more, next_due_ms is wall_ms. */
void queue_due(struct queue *q, uint64_t wall_ms, uint32_t limit, queue_due_cb *cb, void *ctx);

/* -- the budget -- */
/* What a 429 taught: see core/budget. */
struct queue_learnt {
    uint64_t burst; /* 0: nothing was learnt */
    uint64_t spent;
    uint64_t age_ms; /* by the account's time */
};

/* If the lease is ours, and no other owner's restore came after ours: stores how many units are
 * open now (absolute, so repeating it is harmless), books `book` units as spent now, and stores the
 * bucket's level. Nothing may be sent from open units before the callback came with err 0. */
struct queue_spend {
    enum ledger_kind ledger;
    uint64_t open; /* total that is reserved and not yet booked, after this call */
    uint64_t book; /* spent since the last call; 0: nothing to book */
    uint64_t level_micro;
    uint64_t window_ms; /* older bookings are trimmed, sooner or later */
    struct queue_clock clock;
    struct queue_learnt learnt;
    uint64_t ahead; /* how many units Redis may lose, at most; 0: none */
};
void queue_spend(struct queue *q, const struct queue_spend *s, queue_done_cb *cb, void *ctx);

struct queue_spent {
    int64_t age_ms; /* by the account's time; negative: it may arrive until then */
    uint64_t cost;
};
struct queue_budget {
    bool known; /* this ledger has been written before */
    uint64_t level_micro;
    uint64_t level_age_ms; /* by Redis' clock, because it is only used for pacing */
    uint64_t account_ms;   /* the account's time now */
    struct queue_learnt learnt;
    uint64_t ahead;                  /* what Redis says now, if we have said any */
    const struct queue_spent *spent; /* oldest first */
    size_t spent_count;
};
typedef void queue_budget_cb(void *ctx, int err, const struct queue_budget *b);
struct queue_restore {
    enum ledger_kind ledger;
    uint64_t window_ms;
    uint64_t late_ms;         /* how long the predecessor's requests may still be arriving */
    struct queue_clock clock; /* the account's time as counted by this process, if it led before */
    uint64_t ahead;           /* as in queue_spend, if Redis has none; 0: forget it */
};
/* After a take-over: books what the predecessor left open as spent late_ms from now, then reads the
 * bookings of the window. If Redis has another replication history than when the predecessor wrote
 * last, its last reservations may be lost: its `ahead` is booked, too. */
void queue_budget_restore(struct queue *q, const struct queue_restore *r, queue_budget_cb *cb,
                          void *ctx);

/* -- requests that read Fastly's API -- */
/* Counts one before it is sent. err -EAGAIN: it must not be sent, and *why tells why. */
typedef void queue_taken_cb(void *ctx, int err, const struct read_refusal *why);
void queue_take_read(struct queue *q, const struct config_account *a, enum read_kind k,
                     queue_taken_cb *cb, void *ctx);
/* After a 429: none of this kind is sent for wait_ms. 0: the hold is over. */
void queue_hold_reads(struct queue *q, enum read_kind k, uint64_t wait_ms);
