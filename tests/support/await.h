/* SPDX-License-Identifier: MIT
 * Waits until a condition is true, with a deadline. Tests use this instead of sleeping. */
#pragma once

#include "base.h"

#define AWAIT_PATIENCE_MS 120000u

struct await {
    const char *what;
    uint64_t until_ns;
    int fd; /* readable when the condition may have changed; -1: check from time to time */
};

struct await await_begin(const char *what, int fd, uint64_t patience_ms);
/* Returns when the condition should be checked again. Fails the test at the deadline. */
void await_more(struct await *a);

/* `fd` only speeds this up; -1 works as well. */
#define await_until(fd, patience_ms, condition)                                                    \
    do {                                                                                           \
        struct await await_ = await_begin(#condition, fd, patience_ms);                            \
                                                                                                   \
        while (!(condition))                                                                       \
            await_more(&await_);                                                                   \
    } while (0)
