/* SPDX-License-Identifier: MIT */
#include "redis_due.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"

void redis_due_begin(struct redis_due *d, struct redisAsyncContext *ac)
{
    redis_due_deinit(d);
    d->ac = ac;
}

void redis_due_deinit(struct redis_due *d)
{
    for (size_t i = 0; i < d->channels_count; i++)
        free(d->channels[i]);
    free(d->channels);
    *d = (struct redis_due){0};
}

void redis_due_subscribe(struct redis_due *d, struct span channel)
{
    d->channels = alloc_grow(d->channels, d->channels_count + 1, sizeof(*d->channels));
    d->channels[d->channels_count++] = alloc_copy(channel.p, channel.n);
}

static bool is_channel(const struct redis_due *d, struct span name)
{
    for (size_t i = 0; i < d->channels_count; i++)
        if (span_is(name, d->channels[i]))
            return true;
    return false;
}

/* An error is always accepted: a server may send one before it closes the connection, even before
 * the first command, and hiredis then reports it as the reason. */
static bool reply_ok(struct redis_due *d, const struct redis_part *p)
{
    bool answer = d->ac && d->ac->replies.head;

    d->message = !answer && d->channels_count > 0;
    if (answer || p->type == REDIS_REPLY_ERROR)
        return true;
    return d->message && p->type == REDIS_REPLY_ARRAY && p->count == 3;
}

/* A message must be {"subscribe" or "message", channel, anything}, because we never unsubscribe. */
bool redis_due_ok(struct redis_due *d, const struct redis_part *p)
{
    if (p->level == 0)
        return reply_ok(d, p);
    if (!d->message || p->level > 1 || p->index > 1)
        return true;
    if (p->type != REDIS_REPLY_STRING)
        return false;
    return p->index == 0 ? span_is(p->text, "subscribe") || span_is(p->text, "message")
                         : is_channel(d, p->text);
}
