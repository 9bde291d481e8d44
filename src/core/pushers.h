/* SPDX-License-Identifier: MIT
 * The names of those who pushed the jobs of a window, as small numbers, so that a job in memory can
 * say who pushed it in three bits. Few push to one account, as a rule. */
#pragma once

#include "job.h"

#define PUSHERS_BITS 3
#define PUSHERS_MAX 7

struct pushers {
    unsigned count;
    struct pusher {
        uint16_t n;
        char name[JOB_BY_MAX_BYTES];
    } at[PUSHERS_MAX];
};

/* The number of the name, 1 to PUSHERS_MAX. 0: there are too many names, or it is empty. */
unsigned pushers_number(struct pushers *p, struct span name);
/* The name with the number; empty for 0. Valid until the next call of the others. */
struct span pushers_name(const struct pushers *p, unsigned number);
bool pushers_full(const struct pushers *p);
void pushers_clear(struct pushers *p); /* no job may have a number any more */
