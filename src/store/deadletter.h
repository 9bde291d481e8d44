/* SPDX-License-Identifier: MIT
 * The jobs that were given up on: to look at, to try again, to forget. */
#pragma once

#include "client.h"
#include "config.h"

struct deadletter {
    struct span id; /* of the dead letter itself */
    struct span job, reason, target;
    uint64_t at_ms;                  /* Unix; 0 = unknown */
    const struct redisReply *fields; /* of the entry: name, value, name, value ... */
    size_t bytes;                    /* of all these */
};

/* All spans are lent for the call. Nonzero ends the listing. */
typedef int deadletter_cb(void *ctx, const struct deadletter *letter);

/* The newest first, at most `limit`. 0 or negative errno, see client_error. */
must_use int deadletter_list(struct client *c, const char *account, uint64_t limit,
                             deadletter_cb *cb, void *ctx);

/* "1700000000000-0" */
bool deadletter_id_ok(struct span id);
/* Whether a field is one that giving up added to the job's own. */
bool deadletter_added(struct span name);

/* Gives the jobs back to their lanes, as new jobs. Each letter is gone and its job there, or
 * neither. `done` counts; ids that are not (any more) there are passed over. */
must_use int deadletter_retry(struct client *c, const char *account, const char *const *ids,
                              size_t count, uint64_t *done);
must_use int deadletter_drop(struct client *c, const char *account, const char *const *ids,
                             size_t count, uint64_t *done);

/* The same for all letters there are at the time of the call. */
must_use int deadletter_retry_all(struct client *c, const char *account, uint64_t *done);
must_use int deadletter_drop_all(struct client *c, const char *account, uint64_t *done);
