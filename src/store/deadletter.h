/* SPDX-License-Identifier: MIT
 * Lists, retries and drops dead letters, the jobs that were given up. */
#pragma once

#include "act.h"

struct deadletter {
    struct span id; /* of the dead letter itself */
    struct span job, reason, target;
    struct span by;            /* who pushed the job; empty: not known */
    struct span message;       /* of a queue, that could not become a job; p == NULL: none */
    uint64_t at_ms;            /* Unix; 0 = unknown */
    const struct span *fields; /* of the entry: name, value, name, value ... */
    size_t fields_count;       /* of these spans; even */
    size_t bytes;              /* of all these */
};

/* All spans are lent for the call. A nonzero result ends the listing. */
typedef int deadletter_cb(void *ctx, const struct deadletter *letter);

struct deadletter_filter; /* deadletter_filter.h */

/* Lists at most `limit` letters, newest first. Returns 0 or negative errno, see client_error. */
must_use int deadletter_list(struct client *c, const char *account, uint64_t limit,
                             deadletter_cb *cb, void *ctx);
/* Lists the letters that pass the filter, newest first, until the callback ends it; with `before`,
 * only those that are older than the letter with this id. */
must_use int deadletter_find(struct client *c, const char *account,
                             const struct deadletter_filter *f, const char *before,
                             deadletter_cb *cb, void *ctx);

/* A message of a queue that cannot become a job. */
struct deadletter_message {
    const char *reason;
    struct span by;    /* the consumer, as job_by_ok wants it */
    struct span where; /* names the consumer and the message's place in its queue */
    struct span body;  /* only its beginning is kept */
    uint64_t at_ms;    /* Unix */
};
#define DEADLETTER_BODY_MAX_BYTES 16384
/* Adds a dead letter. It has no job that could be retried. 0, or negative errno, see
 * client_error. */
must_use int deadletter_add(struct client *c, const char *account,
                            const struct deadletter_message *m);

/* True for an id like "1700000000000-0". */
bool deadletter_id_ok(struct span id);
/* True if this field was added when the job was given up. */
bool deadletter_added(struct span name);

/* Puts the jobs back into their lanes, as new jobs. For each letter, either the letter is gone and
 * its job is in the lane, or nothing has changed. `done` counts the letters; ids that do not exist
 * (any more) are skipped. The history says at the end how many letters were meant. */
must_use int deadletter_retry(struct client *c, const struct actor *who, const char *const *ids,
                              size_t count, uint64_t *done);
must_use int deadletter_drop(struct client *c, const struct actor *who, const char *const *ids,
                             size_t count, uint64_t *done);

#define DEADLETTER_ID_ROOM 44
enum deadletter_act { DEADLETTER_RETRY, DEADLETTER_DROP };
enum deadletter_how {
    DEADLETTER_DO,
    DEADLETTER_COUNT, /* only count those that would be retried or dropped */
};
/* The same for all letters that pass the filter and exist at the time of the call. *up_to, unless
 * NULL: the newest letter that was looked at, "" if there is none; with it in the filter, a later
 * call means no letter that came after this one. */
must_use int deadletter_act_all(struct client *c, const struct actor *who,
                                const struct deadletter_filter *f, enum deadletter_act act,
                                enum deadletter_how how, uint64_t *done,
                                char up_to[DEADLETTER_ID_ROOM]);
