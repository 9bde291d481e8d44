/* SPDX-License-Identifier: MIT
 * What may come next on a connection to Redis: an answer to a command, a message of a channel that
 * was subscribed to, or nothing. hiredis has assertions that nothing else comes, and whoever
 * answers at that address need not be a Redis: so each part of a reply is looked at before hiredis
 * has it. */
#pragma once

#include "redis_codec.h"

struct redisAsyncContext;

struct redis_due {                /* all zero at first */
    struct redisAsyncContext *ac; /* the connection; NULL: none */
    char **channels;              /* subscribed to on it */
    size_t channels_count;
    bool message; /* the reply under way is one */
};

void redis_due_begin(struct redis_due *d, struct redisAsyncContext *ac); /* another connection */
void redis_due_deinit(struct redis_due *d);
void redis_due_subscribe(struct redis_due *d, struct span channel);
/* False: it must not reach hiredis, and the connection is worth nothing. */
must_use bool redis_due_ok(struct redis_due *d, const struct redis_part *p);
