/* SPDX-License-Identifier: MIT
 * A pending target: something to purge, with the jobs that wait for it. The unit of merging. */
#pragma once

#include "config.h"
#include "job.h"
#include "list.h"
#include "span.h"
#include "target.h"

enum pending_state {
    PENDING_WAITING, /* on a flow's queue and in the window's table: arrivals merge into it.
                        next: SENDING; gone when expired */
    PENDING_DELAYED, /* on a parked batch until a retry is due, and in the table.
                        next: WAITING, also at once when a more urgent job arrives */
    PENDING_SENDING, /* in a batch, in flight or about to be, or a suspect being bisected; in no
                        table: arrivals start a new one. next: gone, WAITING, DELAYED, CHECKED */
    PENDING_CHECKED, /* purged, and its page is being looked at; in no table and on no list. Only
                        jobs that ask for it still wait. next: gone, WAITING */
};

/* The kinds of requests. */
enum form { FORM_KEYS, FORM_SOFT_KEYS, FORM_URL, FORM_ALL, FORM_N };

#define PENDING_ATTEMPTS_MAX ((1u << 10) - 1)
#define PENDING_PUSHED_MAX_MS ((UINT64_C(1) << 44) - 1) /* in the year 2527 */

struct pending {
    struct list link; /* in the list that its state implies */
    uint32_t hash;
    uint32_t waiters;       /* head of the chain of jobs */
    uint64_t since_ms : 40; /* monotonic time when it began to wait */
    uint64_t bytes_count : 14;
    uint64_t attempts : 10;  /* sends that failed, up to PENDING_ATTEMPTS_MAX; 429 does not count */
    uint64_t pushed_ms : 44; /* Unix time, by Redis' clock, when the oldest job for it in its lane
                                was pushed; at most PENDING_PUSHED_MAX_MS */
    uint64_t service : 11;   /* SERVICE_NONE for a URL without one */
    uint64_t kind : 2, lane : 2, state : 2, soft : 1;
    uint64_t started : 1; /* it has been in a request since that job was pushed */
    uint64_t expires : 1; /* the time follows the bytes: pending_expires_ms */
    char bytes[];
};

/* There may be ten million of them in memory. */
_Static_assert(offsetof(struct pending, bytes) == 40, "a pending target has grown");
/* Values allowed for settings and producers must fit into the bit fields. */
_Static_assert(CONFIG_ATTEMPTS_MAX <= PENDING_ATTEMPTS_MAX, "attempts");
_Static_assert(CONFIG_SERVICES_MAX < SERVICE_NONE && SERVICE_NONE < 1u << 11, "service");
_Static_assert(URL_MAX_BYTES < 1u << 14, "bytes_count");

static inline size_t pending_size(size_t bytes_count, bool expires)
{
    return sizeof(struct pending) + bytes_count + (expires ? sizeof(uint64_t) : 0);
}

/* Unix; the latest expiry of its jobs; 0 = never. */
static inline uint64_t pending_expires_ms(const struct pending *t)
{
    uint64_t ms = 0;

    if (t->expires)
        memcpy(&ms, t->bytes + t->bytes_count, sizeof(ms));
    return ms;
}

/* Only a target that was made with an expiry has room for one. */
static inline void pending_set_expiry(struct pending *t, uint64_t ms)
{
    must(t->expires);
    memcpy(t->bytes + t->bytes_count, &ms, sizeof(ms));
}

static inline struct span pending_bytes(const struct pending *t)
{
    return span_of(t->bytes, t->bytes_count);
}

/* Counts one more failed send. */
static inline void pending_tried(struct pending *t)
{
    if (t->attempts < PENDING_ATTEMPTS_MAX)
        t->attempts++;
}

static inline enum form pending_form(const struct pending *t)
{
    switch ((enum target_kind)t->kind) {
    case TARGET_URL:
        return FORM_URL;
    case TARGET_ALL:
        return FORM_ALL;
    default:
        return t->soft ? FORM_SOFT_KEYS : FORM_KEYS;
    }
}

#define pending_of(node) list_entry(node, struct pending, link)
