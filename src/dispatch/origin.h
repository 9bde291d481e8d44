/* SPDX-License-Identifier: MIT
 * Holds the jobs of one account that have a `when` (core/when.h), and asks their origins until they
 * show the new version. Jobs with the same question share its answers. Purge-alls are held in the
 * same way until the URL of purge_all_needs answers.
 *
 *   intake ──origin_hold──▶ question ──GET──▶ origin
 *                             │  ▲               │
 *                             │  └── not yet ────┤ asked again after a growing pause
 *                             │                  │
 *                             ├── too late ──▶ `ended`: dead letter with what was seen last
 *                             └── shown ─────▶ `shown`: back to the intake, into the window
 *
 * The entries stay in their streams, so the next leader reads and holds them again. Only so many
 * jobs are held; the intake puts others off. */
#pragma once

#include "clock.h"
#include "config.h"
#include "job.h"
#include "memory.h"
#include "outcome.h"
#include "queue.h"
#include "sender.h"
#include "when.h"

#define ORIGIN_JOBS_MAX 10000u
#define ORIGIN_PUT_OFF_MS 10000u /* when no further job can be held */

struct origin;

struct origin_job {
    struct queue_entry entry;
    uint32_t targets;
    bool asked_gate; /* the last question was that of purge_all_needs */
};

enum origin_taken {
    ORIGIN_TAKEN,
    ORIGIN_NO_ROOM,  /* it is offered again soon */
    ORIGIN_ASK_GATE, /* not before purge_all_needs has answered, after a pause */
};

struct origin_callbacks {
    enum origin_taken (*shown)(void *ctx, const struct origin_job *job); /* the job may go now */
    /* It ends as dead or expired. */
    void (*ended)(void *ctx, const struct origin_job *job, enum outcome outcome,
                  const char *reason);
    void (*changed)(void *ctx); /* a tick is wanted */
};

enum origin_result { ORIGIN_SHOWN, ORIGIN_NOT_YET, ORIGIN_FAILED, ORIGIN_RESULT_N };
extern const char *const origin_result_names[ORIGIN_RESULT_N];

struct origin_counts {
    uint64_t asks[ORIGIN_RESULT_N]; /* that were answered, or failed */
};

/* All arguments but the callbacks' table are lent until origin_free. */
struct origin *origin_new(const struct config_account *a, const struct origin_callbacks *cb,
                          struct memory_user *memory, struct senders *s, uint64_t seed, void *ctx);
void origin_free(struct origin *o); /* questions on their way are answered to nobody */
void origin_configure(struct origin *o, const struct config_account *a);

/* Whether the job has a purge-all, and these wait for purge_all_needs. */
bool origin_is_gated(const struct config_account *a, const struct job_spec *spec);
/* Copies the job, if it can be held. A job without `when` waits for purge_all_needs. */
bool origin_hold(struct origin *o, const struct queue_entry *e, const struct job_spec *spec,
                 struct now now);
uint64_t origin_cost_bytes(const struct queue_entry *e); /* the most that holding it takes */
/* Asks, offers and ends what is due, and returns when to call it again. */
uint64_t origin_tick(struct origin *o, struct now now);
/* Drops jobs that were cancelled; returns how many of these there were. */
uint32_t origin_cancel(struct origin *o, const struct queue_name *jobs, size_t count);
void origin_forget(struct origin *o); /* drops all jobs: they are read again */

uint64_t origin_bytes(const struct origin *o); /* memory in use */
uint32_t origin_jobs(const struct origin *o);  /* held */
uint32_t origin_jobs_of(const struct origin *o, enum lane lane);
/* Age of the oldest of them, from its push or its not_before; 0: none is held. */
uint64_t origin_oldest_ms(const struct origin *o, uint64_t wall_ms);
/* What was seen last of the origin that a job has waited for longest; "": nothing yet. */
const char *origin_last_seen(const struct origin *o);
const struct origin_counts *origin_counts(const struct origin *o);
/* What a held job waits for. */
struct origin_view {
    bool gate;                  /* purge_all_needs, not its own `when` */
    bool asking;                /* a question is on its way */
    uint64_t next_ns;           /* when it is asked again; monotonic; NEVER: not known */
    uint64_t until_ms;          /* when the job is given up, or expires; Unix; NEVER: neither */
    char seen[WHEN_REASON_MAX]; /* the last answer, in words; "": none was heard yet */
};
/* False if the job is not held. Looks at each job that is held. */
bool origin_view(const struct origin *o, enum lane lane, struct entry_id id,
                 struct origin_view *out);
typedef void origin_job_cb(void *ctx, enum lane lane, struct entry_id id);
void origin_each_job(const struct origin *o, origin_job_cb *cb, void *ctx);
