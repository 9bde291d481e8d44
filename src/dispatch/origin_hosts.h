/* SPDX-License-Identifier: MIT
 * The hosts that jobs of one account ask, and when each may be asked again. Hosts are told apart as
 * written in the URL, with the port. */
#pragma once

#include <uthash.h>

#include "base.h"
#include "span.h"

struct origin_host {
    UT_hash_handle hh;
    uint32_t questions; /* about it; counted by the caller */
    uint32_t asking;    /* questions on their way; the caller counts their ends */
    uint64_t next_ns;   /* when it may be asked again */
    char name[];
};

#define ORIGIN_HOST_BYTES (sizeof(struct origin_host) + 256) /* the most that a host takes */

struct origin_hosts { /* all zero: none */
    struct origin_host *table;
    uint32_t sweep_at;
};

/* The host of the URL. It is kept while there are questions about it. */
struct origin_host *origin_host_of(struct origin_hosts *all, struct span url, uint64_t now_ns);
void origin_hosts_clear(struct origin_hosts *all);

/* When the next question may be sent: not later than now, if it may be at once. */
uint64_t origin_host_when_ns(const struct origin_host *h, uint64_t now_ns);
void origin_host_asked(struct origin_host *h, uint32_t per_s, uint64_t now_ns);
