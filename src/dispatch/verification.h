/* SPDX-License-Identifier: MIT
 * Looks at pages after their purges, and has stale ones purged again: the checks of one account. */
#pragma once

#include "verify.h"
#include "window.h"

struct dispatch;
struct job_purge;
struct verification;

struct verification *verification_new(struct dispatch *d);
void verification_free(struct verification *v); /* after verification_forget; NULL is fine */
/* Takes a target that has just been purged if its page is to be looked at, and ends
 * those of its jobs that do not wait for that. False: it is not, and nothing has happened. */
bool verification_take(struct verification *v, struct pending *t, const struct job_purge *by);
/* A target ended otherwise: it may be one that was to be purged again. */
void verification_drop(struct verification *v, const struct pending *t);
/* The target with this hash and URL whose page is being looked at, or NULL; *next_ns: when it is
 * looked at next. */
const struct pending *verification_target(struct verification *v, uint32_t hash, struct span url,
                                          uint64_t *next_ns);
/* A job comes that names a page. */
void verification_expect(struct verification *v, const struct job_spec *spec,
                         const struct window_add *how);
/* For a window_end_cb: all targets of a job that names a page were purged, the last one by this
 * purge. NULL: the job is kept until the page has been looked at. Otherwise it ends, and the clause
 * says why nobody will look. */
const char *verification_keep(struct verification *v, const struct window_job *job,
                              const struct job_purge *last);
void verification_drop_job(struct verification *v,
                           const struct window_job *job);            /* ended otherwise */
uint64_t verification_tick(struct verification *v, uint64_t now_ns); /* when to call it again */
/* Ends all checks: their results are unknown, because of `why`. */
void verification_end(struct verification *v, const char *why);
void verification_forget(struct verification *v); /* the jobs will be read again */
uint64_t verification_bytes(const struct verification *v);

struct verification_counts {
    uint64_t results[VERIFY_N];
    uint64_t looks, repairs;
    uint64_t superseded; /* by a newer purge of the same page */
    uint64_t left_out;   /* because too many were pending */
};
const struct verification_counts *verification_counts(const struct verification *v);
uint32_t verification_pending(const struct verification *v);
