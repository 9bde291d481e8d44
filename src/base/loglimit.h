/* SPDX-License-Identifier: MIT
 * So many lines a second: for what strangers and producers can cause as often as they like, because
 * they must not be able to fill a disk. How many more there were is said as a number. */
#pragma once

#include "base.h"

#define LOGLIMIT_PER_S 10u

/* All zero at first. */
struct loglimit {
    uint64_t begun_ns; /* the second that is counted */
    uint32_t written;  /* lines in it; 0: none is counted */
    uint64_t unwritten;
};

/* Whether one more line may be written. */
bool loglimit_take(struct loglimit *l, uint64_t now_ns);
/* Ends the second when it is over: *unwritten is how many lines were not written in it, else 0.
 * Returns when to come again, NEVER when nothing is counted. */
uint64_t loglimit_end(struct loglimit *l, uint64_t now_ns, uint64_t *unwritten);
