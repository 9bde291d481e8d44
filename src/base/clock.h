/* SPDX-License-Identifier: MIT
 * The only file that reads a clock. Everything else is told the time. */
#pragma once

#include <stdint.h>

struct now {
    uint64_t mono_ns; /* CLOCK_MONOTONIC: for every duration and deadline */
    uint64_t wall_ms; /* Unix time: only for what the outside names in it */
};

struct now clock_now(void);
uint64_t clock_mono_ns(void);
uint64_t clock_wall_ms(void);
