/* SPDX-License-Identifier: MIT
 * A wall clock that a test sets for itself and for a server that it starts (frozen_clock.c). */
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base.h"

/* `now_us` is in microseconds. Programs that are started between this call and frozen_clock_begun
 * use this clock. */
static inline volatile uint64_t *frozen_clock_new(const char *path, uint64_t now_us)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    volatile uint64_t *clock;
    void *at;

    must(fd >= 0 && ftruncate(fd, sizeof(*clock)) == 0);
    at = mmap(NULL, sizeof(*clock), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED);
    close(fd);
    clock = at;
    *clock = now_us;
    must(getenv("FROZEN_CLOCK")); /* the library */
    setenv("FROZEN_CLOCK_FILE", path, 1);
    setenv("LD_PRELOAD", getenv("FROZEN_CLOCK"), 1);
    return clock;
}

static inline void frozen_clock_begun(void)
{
    unsetenv("LD_PRELOAD");
}

static inline void frozen_clock_free(volatile uint64_t *clock)
{
    munmap((void *)clock, sizeof(*clock));
}
