/* SPDX-License-Identifier: MIT
 * The jobs and waiters of the window, for the files that implement it. */
#pragma once

#include <stdlib.h>

#include "alloc.h"
#include "window.h"

struct waiter {
    uint32_t next;
    uint32_t job;
};

/* A link in a target's chain of waiters is the number of a waiter or, if this bit is set, the
 * number of a job that is its own waiter. The bit is subtracted, not masked: where a loop uses both
 * functions below, GCC 12.2 with -O2 forgets the mask. */
#define OWN UINT32_C(0x80000000)

static inline void forget(struct window *w, struct pending *t)
{
    w->held--;
    slabs_give(&w->targets, t);
}

static inline struct window_job *job_at(const struct window *w, uint32_t i)
{
    return pool_at(&w->jobs, i);
}

static inline struct waiter *waiter_at(const struct window *w, uint32_t i)
{
    return pool_at(&w->waiters, i);
}

static inline uint32_t *next_of(const struct window *w, uint32_t link)
{
    return link & OWN ? &job_at(w, link - OWN)->next : &waiter_at(w, link)->next;
}

/* Removes the first link of the chain and returns the number of its job. */
static inline uint32_t detach(struct window *w, uint32_t *chain)
{
    uint32_t link = *chain, job = link & ~OWN;

    *chain = *next_of(w, link);
    if (link & OWN)
        return job;
    job = waiter_at(w, link)->job;
    pool_give(&w->waiters, link);
    return job;
}

static inline uint32_t job_of(const struct window *w, uint32_t link)
{
    return link & OWN ? link - OWN : waiter_at(w, link)->job;
}

/* The waiting or delayed target, or NULL. */
struct pending *window_find(const struct window *w, uint32_t hash, const struct job_target *t);
/* Lets the job wait for all targets of the spec. */
void window_attach(struct window *w, uint32_t job, const struct job_spec *spec,
                   const struct window_add *how);

static inline void job_free(struct window *w, uint32_t i)
{
    w->jobs_of[job_at(w, i)->lane]--;
    w->verify_jobs -= job_at(w, i)->verify;
    pool_give(&w->jobs, i);
}
