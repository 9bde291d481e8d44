/* SPDX-License-Identifier: MIT
 * Looks a job's targets up in the window, for a person who asks why the job waits. */
#pragma once

#include "window.h"

/* So many other jobs are counted that wait for the same target. */
#define WINDOW_LOOK_OTHERS_MAX 100u

struct window_wait {
    bool waits;      /* the job waits for the target */
    bool unsure;     /* the steps were used up before it was found */
    uint32_t others; /* other jobs that wait for it, at most WINDOW_LOOK_OTHERS_MAX */
    bool more;       /* there are more of them */
    uint32_t open;   /* if it waits: targets of the job that are not settled */
};

/* The waiting or delayed target that is the same as this one, which has this hash; or NULL. */
const struct pending *window_look_up(const struct window *w, uint32_t hash,
                                     const struct job_target *t);
/* Whether the job waits for the target. A target may have a million jobs: each step along its
 * chain takes one of *steps, and when none is left the look ends. */
struct window_wait window_look_wait(const struct window *w, const struct pending *t,
                                    const struct window_name *job, uint32_t *steps);
