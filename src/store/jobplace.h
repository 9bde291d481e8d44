/* SPDX-License-Identifier: MIT
 * Where a job is: ended, in its lane, back in a lane under another entry id, or postponed. Found by
 * its id, never by searching; what moves a job notes where it went (store/queue.h). */
#pragma once

#include "config.h"
#include "redis.h"
#include "span.h"

enum job_state {
    JOB_UNKNOWN, /* never was, or its receipt has expired */
    JOB_WAITING, /* in a lane, or postponed */
    JOB_ENDED,   /* there is a receipt */
    JOB_UNSURE,  /* it may be among those that version 0.1.0 postponed, which are not moved yet */
    JOB_ASKED_IN_VAIN,
};

struct jobplace { /* of a job that waits */
    bool postponed;
    enum lane lane; /* otherwise: where, and under which entry id */
    char entry[44];
};

/* `job`: an id that job_id_ok accepts. `receipt` is of JOB_ENDED, `place` of JOB_WAITING; both
 * lent. `why`: Redis' words when it was asked in vain. */
typedef void jobplace_cb(void *ctx, enum job_state state, struct span receipt,
                         const struct jobplace *place);
void jobplace_find(struct redis *r, const char *account, const char *job, jobplace_cb *cb,
                   void *ctx);

enum jobplace_read {
    JOBPLACE_READ,      /* what is no job has no fields */
    JOBPLACE_NOT_THERE, /* it is not there any more: find it again */
    JOBPLACE_UNREADABLE,
};
/* `fields`: name, value, name, value ... of JOBPLACE_READ. `why`, of JOBPLACE_UNREADABLE: Redis'
 * words, or that it is away; ended by a NUL. All lent. */
typedef void jobplace_read_cb(void *ctx, enum jobplace_read what, const struct span *fields,
                              size_t count, struct span why);
/* Reads the job where it was found. */
void jobplace_read(struct redis *r, const char *account, const char *job,
                   const struct jobplace *place, jobplace_read_cb *cb, void *ctx);

enum jobplace_cancelled {
    JOBPLACE_CANCELLED,
    JOBPLACE_ENDED, /* before: its receipt */
    JOBPLACE_MOVED, /* it is not there any more: find it again */
    JOBPLACE_FAILED,
};
typedef void jobplace_cancel_cb(void *ctx, enum jobplace_cancelled what, struct span receipt);
/* Takes the job back from where it was found, leaves this receipt, and tells the leader. */
void jobplace_cancel(struct redis *r, const struct config_account *a, const char *job,
                     const struct jobplace *place, struct span receipt, jobplace_cancel_cb *cb,
                     void *ctx);
