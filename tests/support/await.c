/* SPDX-License-Identifier: MIT */
#include "await.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"

#define LOOK_EVERY_MS 5 /* changes in Redis and in other processes cause no event */

struct await await_begin(const char *what, int fd, uint64_t patience_ms)
{
    return (struct await){what, clock_mono_ns() + patience_ms * NS_PER_MS, fd};
}

void await_more(struct await *a)
{
    struct pollfd p = {.fd = a->fd, .events = POLLIN};
    char events[4096];

    if (clock_mono_ns() > a->until_ns)
        fail_msg("waited in vain for: %s", a->what);
    if (poll(&p, a->fd >= 0, LOOK_EVERY_MS) > 0)
        while (read(a->fd, events, sizeof(events)) > 0)
            continue;
}
