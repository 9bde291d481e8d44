/* SPDX-License-Identifier: MIT
 * Checks what may arrive next on a connection to Redis: a reply to a command, a message of a
 * subscribed channel, or nothing. The server may not be Redis at all, so each part of a reply is
 * checked while it arrives. */
#pragma once

#include "list.h"
#include "redis.h"
#include "redis_codec.h"

struct redis_subscription {
    struct list link;
    char *channel;
    redis_message_cb *cb;
    void *ctx;
};

struct redis_due {
    struct list subscriptions; /* on this connection */
    bool message;              /* the current reply is a message */
};

void redis_due_init(struct redis_due *d);
struct redis_subscription *redis_due_find(const struct redis_due *d, struct span channel);
/* False if the part may not arrive now; the connection must then be closed. `answer`: a command
 * waits for its reply. */
must_use bool redis_due_ok(struct redis_due *d, bool answer, const struct redis_part *p);
