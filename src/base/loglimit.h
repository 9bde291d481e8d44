/* SPDX-License-Identifier: MIT
 * Limits log lines per second for events that clients and producers can cause at will, so that they
 * cannot fill the disk. The number of suppressed lines is logged. */
#pragma once

#include "base.h"

#define LOGLIMIT_PER_S 10u

/* Must be zeroed before the first use. */
struct loglimit {
    uint64_t begun_ns; /* start of the current second */
    uint32_t written;  /* lines written in this second; 0: no second has begun */
    uint64_t unwritten;
};

/* Returns whether one more line may be written. */
bool loglimit_take(struct loglimit *l, uint64_t now_ns);
/* When loglimit_end must be called; NEVER if nothing is counted. */
uint64_t loglimit_due_ns(const struct loglimit *l);
/* Ends the second when it is over, and sets *unwritten to the number of lines suppressed in it, or
 * to 0. Returns when to call it again, or NEVER if nothing is counted. */
uint64_t loglimit_end(struct loglimit *l, uint64_t now_ns, uint64_t *unwritten);
