/* SPDX-License-Identifier: MIT
 * The pending targets in memory and the jobs that wait for them. Merges identical targets, and
 * detects when all targets of a job are done. Everything is O(1) per job.
 *
 *   job ──waiter──▶ pending target ◀──waiter── job        a job names 1..n targets, a target
 *    └─────waiter──▶ pending target                        satisfies 1..n jobs
 *
 * A job with a single target, the usual case, is its own waiter. */
#pragma once

#include "job.h"
#include "lanes.h"
#include "outcome.h"
#include "pool.h"
#include "pushers.h"
#include "slabs.h"
#include "verify.h"

/* The part of a job kept in memory; everything else stays in its stream entry. */
struct __attribute__((packed, aligned(4))) window_job {
    uint32_t next;       /* in the chain of its only target; in a window_end_cb: its own number */
    uint64_t id_ms : 48; /* the entry's id: milliseconds (until the year 10889) */
    uint64_t lane : 2;
    uint64_t outcome : 2;
    uint64_t plain : 1; /* its entry has no ref, original id, repeat or verify, which its end would
                           need, and `by` says who pushed it if the entry does */
    uint64_t cancelled : 1; /* it is being cancelled */
    uint64_t large : 1;     /* its entry is too large for one script */
    uint64_t verify : 1;    /* it ends when pages have been looked at ... */
    uint64_t verified : 2; /* ... with this result (enum verify_result), the worst one so far ... */
    uint64_t repairs : 3;  /* ... after so many further purges, the most of a target */
    uint64_t page : 1; /* the one that it names, after all its purges; else those of its targets */
    uint64_t services : 1; /* it is for several services */
    uint64_t whole : 1;    /* ... and its dead letter is for all of them: window_note_whole */
    uint32_t id_seq;       /* the entry's id: sequence number */
    uint32_t open : 14;    /* number of targets not settled */
    uint32_t targets : 14;
    uint32_t repeat_auto : 1;   /* it is purged again after a time that is learnt */
    uint32_t by : PUSHERS_BITS; /* who pushed it, as window.pushers has it; 0: not known */
};

/* There is one of these for every job of the backlog. */
_Static_assert(sizeof(struct window_job) == 20, "a job in memory has grown");
_Static_assert(JOB_TARGETS_MAX < 1 << 14, "open, targets");
_Static_assert(OUTCOME_DEAD < 4 && LANE_N <= 4, "outcome, lane");
_Static_assert(VERIFY_N <= 4 && CONFIG_VERIFY_ROUNDS_MAX < 8, "verified, repairs");

struct window {
    /* Hash table with linear probing: numbers of WAITING and DELAYED targets; 0 = none. */
    uint32_t *table;
    uint32_t table_room, table_count;
    struct slabs targets; /* of all states */
    uint32_t limit;       /* pending targets, of all states */
    uint32_t held;        /* pending targets, of all states */
    uint64_t merged;      /* targets of new jobs that were already waiting */
    struct pool jobs, waiters;
    uint32_t verify_jobs; /* jobs that ask for a look at the page */
    uint32_t jobs_of[LANE_N];
    struct pushers pushers; /* of the jobs */
    struct lanes *lanes;
};

struct window_add {
    enum lane lane;
    uint64_t id_ms;
    uint32_t id_seq;
    bool plain, large;
    uint64_t now_ns;
    bool again; /* its targets have been in requests: nobody waits since the push */
};

/* Called once for each job when its last target is settled (job->open is 0; the record is freed
 * afterwards). Also called when a target of a job is dead while others are still pending (open >
 * 0). */
typedef void window_end_cb(void *ctx, const struct window_job *job);

void window_init(struct window *w, uint32_t limit, struct lanes *lanes);
void window_deinit(struct window *w); /* drops everything that waits; nothing may be SENDING */

/* Adds a job and merges its targets with waiting ones: hard absorbs soft, the higher lane wins, the
 * latest expiry counts. */
void window_add(struct window *w, const struct job_spec *spec, const struct window_add *how);

/* Who pushed the job; empty: nobody said so, or it is not known here, and its entry says so. */
struct span window_pusher(const struct window *w, const struct window_job *job);

/* How many more targets or jobs there is room for. While there is room for one, a job with any
 * number of targets is accepted as a whole, so one job may exceed the limit. */
uint32_t window_room(const struct window *w, enum lane lane);

uint64_t window_bytes(const struct window *w); /* memory in use */
uint32_t window_limit(const struct window *w);
uint32_t window_held(const struct window *w);   /* pending targets, of all states */
uint64_t window_merged(const struct window *w); /* targets of new jobs that were already waiting */
uint32_t window_jobs(const struct window *w);
uint32_t window_jobs_of(const struct window *w, enum lane lane);
/* The most by which adding the job can increase window_bytes. */
uint64_t window_cost_bytes(const struct window *w, const struct job_spec *spec);

/* Marks the target as being sent: new jobs with the same target start a new pending target. The
 * target must already have left its queue. */
void window_sent(struct window *w, struct pending *t);
/* Returns a target that was SENDING to WAITING: to the front of its queue, or merged into an
 * identical target that is waiting by now. */
void window_return(struct window *w, struct pending *t);
/* The target must wait for a retry. Returns the pending target to park (t itself, in state DELAYED
 * and on no list), or NULL if it was merged into an identical target that is already waiting. */
struct pending *window_delay(struct window *w, struct pending *t);
/* Makes a delayed target wait again when its retry is due. */
void window_due(struct window *w, struct pending *t);

/* Ends a target in state SENDING or WAITING, and every job that waited for nothing else. */
void window_settle(struct window *w, struct pending *t, enum outcome outcome, window_end_cb *cb,
                   void *ctx);

/* -- targets whose pages are looked at after the purge -- */

/* Whether any job in the window asks for it, and whether one that waits for this target does. */
bool window_verifies(const struct window *w);
/* Whether an identical target waits. */
bool window_has_twin(const struct window *w, const struct pending *t);
bool window_verifies_target(const struct window *w, const struct pending *t);
/* The job that came last among those that wait for t. False if there is none. */
bool window_newest_job(const struct window *w, const struct pending *t, struct window_job *out);
/* The target, which is SENDING, was purged, and becomes CHECKED. Ends every job that waits for
 * nothing else and does not ask for a look at its page. The others wait on for the target. */
void window_check(struct window *w, struct pending *t, window_end_cb *cb, void *ctx);
/* Jobs that wait for `from`, which is CHECKED, wait for `to` instead. `from` is gone. */
void window_check_joins(struct window *w, struct pending *to, struct pending *from);
/* The page of a CHECKED target is stale: the target waits to be purged again, or is merged into an
 * identical one that waits already. Its jobs cannot expire any more. */
void window_check_again(struct window *w, struct pending *t);
/* Ends a CHECKED target, and every job that waited for nothing else. */
void window_checked(struct window *w, struct pending *t, enum verify_result result,
                    uint32_t repairs, window_end_cb *cb, void *ctx);
/* Forgets a CHECKED target; its jobs are still in Redis. For a window that starts again. */
void window_forget_checked(struct window *w, struct pending *t);

/* -- jobs that name a page to be looked at after the purges of all their targets -- */

/* For a window_end_cb: the job, which has no open target, goes on. Returns its number. It waits for
 * one of the two below. */
uint32_t window_keep(struct window *w, const struct window_job *job);
/* All targets of a kept job, which `spec` has again, wait to be purged once more. */
void window_repeat(struct window *w, uint32_t number, const struct job_spec *spec,
                   const struct window_add *how);
/* Ends a kept job. */
void window_end_kept(struct window *w, uint32_t number, enum verify_result result, uint32_t repairs,
                     window_end_cb *cb, void *ctx);
/* For a window_end_cb: what the look at its page has found. */
void window_note_look(struct window *w, const struct window_job *job, enum verify_result result);

/* For a window_end_cb: if the job, which is for several services, becomes a dead letter, that is
 * for all of them, although some may not have failed. */
void window_note_whole(struct window *w, const struct window_job *job);

/* Cancels jobs. Waiting targets that no other job waits for are not sent. Targets in flight or
 * parked for a retry are not changed. `cb` is called for each job that this ends, with
 * OUTCOME_CANCELLED. Scans all waiting targets, once for all given jobs. */
struct window_name {
    enum lane lane;
    uint64_t id_ms;
    uint64_t id_seq;
};
void window_cancel(struct window *w, const struct window_name *jobs, size_t count,
                   window_end_cb *cb, void *ctx);

/* Calls `cb` for every waiting job, in no particular order. */
void window_each_job(const struct window *w, window_end_cb *cb, void *ctx);
