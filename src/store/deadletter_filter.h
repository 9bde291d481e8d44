/* SPDX-License-Identifier: MIT
 * Which dead letters are meant: those that have a text in their reason or target, that are for a
 * service, that somebody pushed, or that were given up within a time. */
#pragma once

#include "deadletter.h"

#define DEADLETTER_FILTER_MAX_BYTES 2048 /* of a text of the filter */

/* All zeros means every letter. */
struct deadletter_filter {
    const struct config_account *account; /* needed with `service` */
    /* What the reason has in it; and the target that made the job fail, or any other of its
     * targets. Case matters. n == 0: anything. */
    struct span reason, target;
    struct span service;         /* id or name; n == 0: any */
    struct span producer;        /* who pushed the job, the whole name; n == 0: anybody */
    uint64_t since_ms, until_ms; /* Unix, inclusive; until_ms 0: no limit */
    const char *up_to; /* the newest letter that is meant; NULL: the newest that there is */
};

bool deadletter_filter_passes(const struct deadletter_filter *f, const struct deadletter *l);
/* Whether a retry makes a job of it: a message of a queue, and a letter without fields, stay. */
bool deadletter_has_job(const struct deadletter *l);
