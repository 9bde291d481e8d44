/* SPDX-License-Identifier: MIT
 * Waiting for something to become true, with an end: what the tests do instead of sleeping. */
#pragma once

#include "base.h"

#define AWAIT_PATIENCE_MS 120000u

struct await {
    const char *what;
    uint64_t until_ns;
    int fd; /* readable when something may have changed; -1: only time tells */
};

struct await await_begin(const char *what, int fd, uint64_t patience_ms);
/* Returns when it is worth looking again; fails the test when patience is over. */
void await_more(struct await *a);

/* `fd` only makes it quick: nothing is missed without it. */
#define await_until(fd, patience_ms, condition)                                                    \
    do {                                                                                           \
        struct await await_ = await_begin(#condition, fd, patience_ms);                            \
                                                                                                   \
        while (!(condition))                                                                       \
            await_more(&await_);                                                                   \
    } while (0)
