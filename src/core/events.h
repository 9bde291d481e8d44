/* SPDX-License-Identifier: MIT
 * Fastly's event log, as far as it tells of purge-alls. Purges of URLs and keys are not in it. Only
 * a superuser's token may read it.
 * https://www.fastly.com/documentation/reference/api/account/events/ */
#pragma once

#include "buf.h"
#include "error.h"

#define EVENTS_MAX 100 /* that one reply tells */
#define EVENTS_MAX_BYTES ((size_t)1024 * 1024)
#define EVENTS_ID_ROOM 64

struct event { /* an id that is not as Fastly's are is "" */
    char id[EVENTS_ID_ROOM], service[EVENTS_ID_ROOM];
    char token[EVENTS_ID_ROOM], user[EVENTS_ID_ROOM]; /* who did it */
    uint64_t at_ms;                                   /* Unix time */
};

/* Appends the path and query of the question for purge-alls since from_ms (Unix time), newest
 * first. */
void events_put_path(struct buf *out, uint64_t from_ms);

/* Reads a reply: at most EVENTS_MAX purge-alls since from_ms, whatever else is in it. An entry
 * without id or time is left out. 0 with *count, or -EINVAL with a clause. */
must_use int events_read(struct span body, uint64_t from_ms, struct event out[EVENTS_MAX],
                         size_t *count, struct error *err);

/* Whose token it is, by the reply to GET /tokens/self. 0, or -EINVAL if it does not tell its id. */
struct event_author {
    char token[EVENTS_ID_ROOM], user[EVENTS_ID_ROOM];
};
must_use int events_read_author(struct span body, struct event_author *out);
