/* SPDX-License-Identifier: MIT
 * Loaded into a redis-server (LD_PRELOAD). The time is read from a file with 8 bytes of
 * microseconds, so that a test can set it. This affects only the wall clock, not clocks that
 * measure durations. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile uint64_t *now_us;

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("FROZEN_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof(*now_us), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        now_us = at;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (id != CLOCK_REALTIME || !now_us)
        return (int)syscall(SYS_clock_gettime, id, ts);
    ts->tv_sec = (time_t)(*now_us / 1000000);
    ts->tv_nsec = (long)(*now_us % 1000000 * 1000);
    return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
