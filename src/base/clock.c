/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <time.h>

#include "base.h"

static uint64_t read_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / NS_PER_MS;
}

struct now clock_now(void)
{
    return (struct now){.mono_ns = clock_mono_ns(), .wall_ms = clock_wall_ms()};
}
