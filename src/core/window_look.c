/* SPDX-License-Identifier: MIT */
#include "window_look.h"

#include "window_internal.h"

const struct pending *window_look_up(const struct window *w, uint32_t hash,
                                     const struct job_target *t)
{
    return window_find(w, hash, t);
}

static bool is_job(const struct window_job *job, const struct window_name *name)
{
    return job->id_ms == name->id_ms && job->id_seq == name->id_seq &&
           job->lane == (unsigned)name->lane;
}

struct window_wait window_look_wait(const struct window *w, const struct pending *t,
                                    const struct window_name *job, uint32_t *steps)
{
    struct window_wait found = {.waits = false};
    uint32_t link = t->waiters;

    for (; link != POOL_NONE && *steps > 0; link = *next_of(w, link)) {
        const struct window_job *at = job_at(w, job_of(w, link));

        --*steps;
        if (is_job(at, job)) {
            found.waits = true;
            found.open = at->open;
        } else if (found.others < WINDOW_LOOK_OTHERS_MAX) {
            found.others++;
        } else {
            found.more = true;
        }
        if (found.more && found.waits)
            return found;
    }
    found.unsure = link != POOL_NONE && !found.waits;
    found.more |= link != POOL_NONE;
    return found;
}
