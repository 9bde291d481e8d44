/* SPDX-License-Identifier: MIT
 * Subscribes to a channel of Redis and passes its messages to a callback until the connection is
 * lost. */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "redis_internal.h"
#include "reply.h"

struct subscription {
    struct redis *r;
    redis_message_cb *cb;
    void *ctx;
};

/* The first reply is {"subscribe", channel, 1}, then come {"message", channel, text}, and NULL at
 * the end. */
static void on_message(redisAsyncContext *ac, void *reply, void *priv)
{
    struct subscription *s = priv;
    struct span text = reply_text(reply_at(reply, 2));

    (void)ac;
    if (!reply) {
        s->cb(s->ctx, NULL);
        free(s);
        return;
    }
    if (reply_count(reply) == 3)
        s->cb(s->ctx, &text);
}

static void on_no_subscription(void *ctx, struct redisReply *reply)
{
    (void)reply;
    on_message(NULL, NULL, ctx);
}

void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx)
{
    struct subscription *s = alloc_zeroed(1, sizeof(*s));
    const struct span argv[] = {SPAN("SUBSCRIBE"), channel};

    *s = (struct subscription){r, cb, ctx};
    if (redis_is_up(r)) {
        redis_due_subscribe(redis_due_of(r), channel);
        if (redis_send(r, 2, argv, on_message, s) == REDIS_OK)
            return;
    }
    redis_command(r, 2, argv, on_no_subscription, s); /* down: soon calls it with NULL */
}
