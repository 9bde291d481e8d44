/* SPDX-License-Identifier: MIT */
#include "ends_watch.h"

#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "redis_error.h"

struct ends_watch {
    struct redis *listener;
    char **channels;
    uint32_t count, active; /* active: channels that are subscribed now */
    struct ends_watch_calls calls;
    void *ctx;
    bool refused, closing;
    loop_cb *closed;
    void *closed_ctx;
};

/* One subscription; a new one after each outage. */
struct ends_channel {
    struct ends_watch *watch;
    uint32_t account;
};

static void on_end_message(void *ctx, const struct span *text)
{
    struct ends_channel *c = ctx;
    struct ends_watch *w = c->watch;

    if (!text) {
        free(c);
        return;
    }
    if (w->closing)
        return;
    if (text->n)
        w->calls.ended(w->ctx, c->account, *text);
    else if (++w->active == w->count)
        w->calls.active(w->ctx);
}

static void on_ends_up(void *ctx)
{
    struct ends_watch *w = ctx;

    w->active = 0;
    for (uint32_t i = 0; i < w->count && !w->closing; i++) {
        struct ends_channel *c = alloc_zeroed(1, sizeof(*c));

        *c = (struct ends_channel){w, i};
        redis_subscribe(w->listener, span_str(w->channels[i]), on_end_message, c);
    }
}

/* A refused SUBSCRIBE ends the connection, and `why` is then Redis' error. */
static void on_ends_down(void *ctx, const char *why)
{
    struct ends_watch *w = ctx;

    if (w->refused || w->closing || redis_error_of(why) != REDIS_ERROR_NOPERM)
        return;
    w->refused = true;
    w->calls.refused(w->ctx, why);
}

struct ends_watch *ends_watch_new(struct loop *l, const struct redis_address *a,
                                  const char *const *accounts, uint32_t count,
                                  const struct ends_watch_calls *calls, void *ctx)
{
    struct ends_watch *w = alloc_zeroed(1, sizeof(*w));

    w->calls = *calls;
    w->ctx = ctx;
    w->count = count;
    w->channels = alloc_zeroed(count + 1, sizeof(*w->channels));
    for (uint32_t i = 0; i < count; i++)
        w->channels[i] = redis_key(accounts[i], "settled");
    w->listener = redis_new(l, a, on_ends_up, on_ends_down, w);
    return w;
}

static void on_ends_closed(void *ctx)
{
    struct ends_watch *w = ctx;
    loop_cb *closed = w->closed;
    void *closed_ctx = w->closed_ctx;

    for (uint32_t i = 0; i < w->count; i++)
        free(w->channels[i]);
    free(w->channels);
    free(w);
    closed(closed_ctx);
}

void ends_watch_close(struct ends_watch *w, loop_cb *closed, void *ctx)
{
    w->closing = true;
    w->closed = closed;
    w->closed_ctx = ctx;
    redis_close(w->listener, on_ends_closed, w);
}
