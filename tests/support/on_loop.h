/* SPDX-License-Identifier: MIT
 * For tests with their own loop: stops it, or runs it until a condition is true. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "clock.h"
#include "loop.h"

#define ON_LOOP_PATIENCE_S 120 /* long enough for a busy machine */

/* Makes loop_run() return, in this thread. The daemon does not need this: its loops end when all
 * handles are closed. */
static inline void loop_stop(struct loop *l)
{
    uv_stop(loop_uv(l));
}

static inline void out_of_patience(void *ctx)
{
    (void)ctx;
    fprintf(stderr, "nothing happened for %d s\n", ON_LOOP_PATIENCE_S);
    abort();
}

/* `w` has a loop, and a timer `patience` that calls out_of_patience(). */
#define run_until(w, condition)                                                                    \
    do {                                                                                           \
        timer_start_at((w)->patience, clock_mono_ns() + ON_LOOP_PATIENCE_S * NS_PER_S);            \
        while (!(condition))                                                                       \
            loop_run((w)->loop);                                                                   \
    } while (0)
