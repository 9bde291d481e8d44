/* SPDX-License-Identifier: MIT
 * The checks of pages, for the files that implement verification: verification.c has them looked at
 * and judges them, verification_jobs.c knows those that jobs name. */
#pragma once

#include "dispatch_internal.h"
#include "looks.h"
#include "page_job.h"
#include "verification.h"

#define VERIFICATION_BUCKETS 64u /* a power of two */
#define VERIFICATION_STOPPED "the instance stopped leading before the look"
#define VERIFICATION_TOO_MANY "too many pages wait to be looked at"

enum check_state {
    CHECK_EXPECTED,  /* of a page that a job names, whose targets are in the window. next: WAITING;
                        gone */
    CHECK_WAITING,   /* until the next look. next: LOOKING, REPAIRING, EXPECTED; gone */
    CHECK_LOOKING,   /* a page is being fetched. next: WAITING, REPAIRING, EXPECTED; gone */
    CHECK_REPAIRING, /* its target is in the window. next: WAITING; gone */
};

struct check {
    struct verification *v;
    struct list link; /* in a bucket */
    struct heap_node due;
    enum check_state state;
    struct pending *target; /* NULL while REPAIRING, and if a job names the page */
    struct page_job *page;  /* that job; owned. NULL: the page is that of a target */
    struct page_look *look; /* LOOKING, or NULL */
    uint32_t hash;
    struct span url; /* malloc'ed; the target's bytes */
    bool soft;
    bool all;                         /* the last purge was a purge-all */
    uint64_t began_ns, purged_ns;     /* of the last purge: its request, its answer */
    uint64_t first_purged_ns;         /* the answer to the first purge */
    char id[FASTLY_ID_MAX_BYTES + 1]; /* of the last purge; "": not known */
    uint64_t older_ms;                /* of the copy seen stale last */
    uint32_t round, probe, repairs;
    uint32_t relooks;         /* at this probe, in this round */
    bool was_stale;           /* in any round */
    bool seen_stale;          /* at this probe, since the last purge */
    enum verify_result worst; /* of this round's probes; UNSURE counts more than UNKNOWN */
    const char *why;          /* static */
    char pop[VERIFY_POP_ROOM];
};

struct verification {
    struct dispatch *d;
    struct list buckets[VERIFICATION_BUCKETS];
    struct heap due;
    uint32_t count;
    uint64_t bytes;
    uint32_t pages_count; /* of these, checks of pages that jobs name */
    uint64_t pages_bytes;
    struct looks *looks;
    struct loglimit log_limit;
    struct verification_counts counts;
};

static inline struct list *verification_bucket(struct verification *v, uint32_t hash)
{
    return &v->buckets[hash & (VERIFICATION_BUCKETS - 1)];
}

uint64_t verification_check_bytes(size_t url);
/* The URL is copied. */
struct check *verification_check_new(struct verification *v, struct span url, uint32_t hash);
/* Its target must have been given away, and its job must not be kept any more. */
void verification_check_free(struct verification *v, struct check *c);
/* A purge of its page was answered: the next look is due some time later. */
void verification_check_purged(struct verification *v, struct check *c, bool soft,
                               const struct job_purge *by);
