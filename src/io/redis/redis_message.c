/* SPDX-License-Identifier: MIT
 * Subscribes to a channel of Redis and passes its messages to a callback until the connection is
 * lost. */
#include <stdlib.h>

#include "alloc.h"
#include "redis_internal.h"
#include "reply.h"

static void end_subscription(struct redis_subscription *s)
{
    s->cb(s->ctx, NULL);
    free(s->channel);
    free(s);
}

/* The first is {"subscribe", channel, 1}, then come {"message", channel, text}. */
void redis_message_arrived(struct redis *r, const struct redisReply *message)
{
    const struct redis_subscription *s = redis_due_find(&r->due, reply_text(reply_at(message, 1)));
    struct span text = reply_text(reply_at(message, 2));

    must(s); /* redis_due_ok has checked it */
    s->cb(s->ctx, &text);
}

void redis_message_fail_all(struct redis *r)
{
    struct list *node;

    while ((node = list_pop_front(&r->due.subscriptions)))
        end_subscription(list_entry(node, struct redis_subscription, link));
}

static void on_no_subscription(void *ctx, struct redisReply *reply)
{
    (void)reply;
    end_subscription(ctx);
}

void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx)
{
    struct redis_subscription *s = alloc_zeroed(1, sizeof(*s));
    const struct span argv[] = {SPAN("SUBSCRIBE"), channel};
    struct redis_wire *w = redis_connection(r);

    *s = (struct redis_subscription){
        .channel = alloc_copy(channel.p, channel.n), .cb = cb, .ctx = ctx};
    if (!w) {
        redis_fail(r, on_no_subscription, s);
        return;
    }
    list_push_back(&r->due.subscriptions, &s->link);
    redis_wire_send(w, 2, argv);
}
