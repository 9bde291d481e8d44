/* SPDX-License-Identifier: MIT
 * Finds where a job is: ended, in its lane, back in a lane under another entry id, or postponed. A
 * job is found by its id without a search, because everything that moves a job records the new
 * place (store/queue.h). */
#pragma once

#include "config.h"
#include "redis.h"
#include "span.h"

struct client;
struct replicated;

enum job_state {
    JOB_UNKNOWN, /* never existed, or its receipt has expired */
    JOB_WAITING, /* in a lane, or postponed */
    JOB_ENDED,   /* there is a receipt */
    JOB_UNSURE,  /* perhaps postponed by version 0.1.0 and not moved yet */
    JOB_ASKED_IN_VAIN,
};

struct jobplace { /* where a waiting job is */
    bool postponed;
    enum lane lane; /* unless postponed: its lane and entry id */
    char entry[44];
};

/* `job`: an id that job_id_ok accepts. `receipt` is set for JOB_ENDED, `place` for JOB_WAITING;
 * both are lent. */
typedef void jobplace_cb(void *ctx, enum job_state state, struct span receipt,
                         const struct jobplace *place);
void jobplace_find(struct redis *r, const char *account, const char *job, jobplace_cb *cb,
                   void *ctx);

/* The same for the command line, which waits for the answer. */
struct jobplace_found {
    enum job_state state; /* not JOB_ASKED_IN_VAIN */
    char *receipt;        /* JOB_ENDED: malloc'ed */
    struct jobplace place;
    uint64_t due_ms; /* of a postponed job; Unix; 0: not known */
    char *by;        /* who pushed a job that waits, malloc'ed; NULL: not known */
};
/* 0 or negative errno, see client_error. */
must_use int jobplace_find_now(struct client *c, const char *account, const char *job,
                               struct jobplace_found *out);

/* `receipt`: empty if none is kept; p == NULL if Redis does not answer. Lent. */
typedef void jobplace_receipt_cb(void *ctx, struct span receipt);
/* Reads the receipt of a job that has ended. */
void jobplace_receipt(struct redis *r, const char *account, const char *job,
                      jobplace_receipt_cb *cb, void *ctx);

/* `due_ms`: Unix; 0 if the job is not postponed any more, or Redis does not answer. */
typedef void jobplace_due_cb(void *ctx, uint64_t due_ms);
/* When a postponed job is due. */
void jobplace_due(struct redis *r, const char *account, const char *job, jobplace_due_cb *cb,
                  void *ctx);

enum jobplace_read {
    JOBPLACE_READ,      /* without fields if the entry is not a job */
    JOBPLACE_NOT_THERE, /* no longer there: find it again */
    JOBPLACE_UNREADABLE,
};
/* `fields`: name, value, name, value ..., for JOBPLACE_READ. `why`, for JOBPLACE_UNREADABLE: Redis'
 * error, or that Redis is away; NUL-terminated. All are lent. */
typedef void jobplace_read_cb(void *ctx, enum jobplace_read what, const struct span *fields,
                              size_t count, struct span why);
/* Reads the job at the place where it was found. */
void jobplace_read(struct redis *r, const char *account, const char *job,
                   const struct jobplace *place, jobplace_read_cb *cb, void *ctx);

enum jobplace_cancelled {
    JOBPLACE_CANCELLED,
    JOBPLACE_ENDED, /* it had ended before; with its receipt */
    JOBPLACE_MOVED, /* no longer there: find it again */
    JOBPLACE_FAILED,
    JOBPLACE_FEW, /* Redis has carried it out, but too few replicas have it */
};
/* `receipt`: for JOBPLACE_FAILED the reason, for JOBPLACE_FEW how many replicas have it. */
typedef void jobplace_cancel_cb(void *ctx, enum jobplace_cancelled what, struct span receipt);
/* Cancels the job at the place where it was found, writes this receipt, and a line of the history
 * with this `purge` (history_put_purge), and tells the leader. */
void jobplace_cancel(struct replicated *x, const struct config_account *a, const char *job,
                     const struct jobplace *place, struct span receipt, struct span purge,
                     jobplace_cancel_cb *cb, void *ctx);
/* For a job that has ended: JOBPLACE_ENDED only when enough replicas have its receipt, too. A job
 * whose cancellation too few replicas had is found like this when it is cancelled again. */
void jobplace_confirm_end(struct replicated *x, const char *account, const char *job,
                          jobplace_cancel_cb *cb, void *ctx);
