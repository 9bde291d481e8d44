/* SPDX-License-Identifier: MIT
 * The only file that reads a clock. All other code gets the time as an argument. */
#pragma once

#include <stdint.h>

struct now {
    uint64_t mono_ns; /* CLOCK_MONOTONIC: for every duration and deadline */
    uint64_t wall_ms; /* Unix time: only for times that users, Redis or Fastly give in Unix time */
};

struct now clock_now(void);
uint64_t clock_mono_ns(void);
uint64_t clock_wall_ms(void);
