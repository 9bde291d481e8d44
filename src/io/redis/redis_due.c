/* SPDX-License-Identifier: MIT */
#include "redis_due.h"

void redis_due_init(struct redis_due *d)
{
    list_init(&d->subscriptions);
    d->message = false;
}

struct redis_subscription *redis_due_find(const struct redis_due *d, struct span channel)
{
    list_each(it, &d->subscriptions) {
        struct redis_subscription *s = list_entry(it, struct redis_subscription, link);

        if (span_is(channel, s->channel))
            return s;
    }
    return NULL;
}

/* An error is always accepted: a server may send one before it closes the connection, even before
 * the first command, and it is then the reason for the loss. */
static bool reply_ok(struct redis_due *d, bool answer, const struct redis_part *p)
{
    d->message = !answer && p->kind != REDIS_PART_ERROR;
    if (!d->message)
        return true;
    return !list_empty(&d->subscriptions) && p->kind == REDIS_PART_ARRAY && p->count == 3;
}

/* A message must be {"subscribe" or "message", channel, anything}, because we never unsubscribe. */
bool redis_due_ok(struct redis_due *d, bool answer, const struct redis_part *p)
{
    if (p->level == 0)
        return reply_ok(d, answer, p);
    if (!d->message || p->level > 1 || p->index > 1)
        return true;
    if (p->kind != REDIS_PART_STRING)
        return false;
    return p->index == 0 ? span_is(p->text, "subscribe") || span_is(p->text, "message")
                         : redis_due_find(d, p->text) != NULL;
}
