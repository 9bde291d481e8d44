/* SPDX-License-Identifier: MIT
 * How long after a purge a second one should follow (`repeat_after: auto`): learnt from how long
 * pages stayed stale that had to be purged again.
 *
 * A POP may fetch the old page again from a shield that is purged a moment later, and keeps it
 * until the next purge:
 * https://www.fastly.com/documentation/guides/full-site-delivery/purging/purging-best-practices/
 * How late the shield is differs from service to service. */
#pragma once

#include "base.h"

#define REPEAT_AUTO "auto" /* the word in a job's repeat_after, and in settings */

/* Until enough was seen: what Fastly once advised, see core/diagnosis.c. */
#define REPEAT_DEFAULT_MS 2000u
/* "Purge-all takes up to 2 minutes to complete", so a second one never comes sooner:
 * https://github.com/fastly/fastly-agent-toolkit, skills/fastly/references/purging.md */
#define REPEAT_ALL_MS 120000u
#define REPEAT_LEAST_MS 1000u  /* what is learnt is not less, */
#define REPEAT_MOST_MS 600000u /* and not more */
#define REPEAT_ENOUGH 20u      /* so many stale pages must have been seen */
#define REPEAT_REMEMBERED 200u /* the newest ones */

/* Pages that were stale after a purge and fresh after a later one. Zeroed, it has seen none. */
struct repeat_seen {
    uint64_t learnt_ms; /* the time in which 99 of 100 of them were over, within the limits; 0:
                           nothing is learnt yet */
    uint64_t added;
    uint32_t stale_ms[REPEAT_REMEMBERED]; /* a ring */
};

/* A page stayed stale until a purge that came so long after the first one. */
void repeat_add(struct repeat_seen *s, uint64_t stale_ms);
