/* SPDX-License-Identifier: MIT
 * GET /v1/events: what happens, as server-sent events.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "feed.h"
#include "log.h"

/* Counted for a stream in addition to what every request needs: its queue and its connection. */
#define STREAM_BYTES ((uint64_t)96 * 1024)
#define CROWDED_RETRY_MS 10000

static void end_events(struct request *e)
{
    if (e->state)
        feed_leave(e->state);
    e->state = NULL;
}

/* The client's connection is gone, although the request may be held for a while. */
static void events_gone(struct request *e)
{
    end_events(e);
}

static void events_renewed(struct request *e)
{
    feed_renew(e->state);
}

static void events_withdrawn(struct request *e, int status, const char *why)
{
    feed_end(e->state, why, status == 401 ? FEED_FOR_GOOD : FEED_COME_AGAIN);
}

/* -- what the client asks for -- */

static bool kind_of(struct span word, unsigned *out)
{
    for (unsigned i = 0; i < FEED_KIND_N; i++) {
        if (!span_is(word, feed_kind_names[i]))
            continue;
        *out |= 1u << i;
        return true;
    }
    return false;
}

/* False: the request was refused. */
static bool read_kinds(struct request *e, unsigned *out)
{
    struct span words = request_query(e, "events"), word;
    unsigned all = (1u << FEED_KIND_N) - 1;
    char why[160], shown[48];

    *out = 0;
    if (!words.p) {
        *out = e->who->admin ? all : all & ~(1u << FEED_DEAD);
        return true;
    }
    while (span_next_word(&words, ',', &word)) {
        if (kind_of(word, out))
            continue;
        snprintf(why, sizeof(why), "events: '%s' is none; expected status, job, dead or act",
                 log_quote(shown, sizeof(shown), word.p, word.n));
        request_refuse(e, 400, why);
        return false;
    }
    if (!*out)
        request_refuse(e, 400, "events: expected status, job, dead or act");
    else if ((*out & 1u << FEED_DEAD) && !e->who->admin)
        request_refuse(e, 403, "events: dead needs a producer with admin: true");
    else
        return true;
    return false;
}

/* Streams hold their connections for hours, so they must leave enough of them to others. */
static bool may_open(struct request *e)
{
    const struct config *c = e->in->config;
    uint32_t most = (uint32_t)min_u64(c->http.event_streams, c->http.connections / 2);
    char why[200];

    if (e->in->stopping) {
        request_refuse(e, 503, "this instance stops");
    } else if (most == 0) {
        request_refuse(e, 503, "event streams are turned off (http.event_streams)");
    } else if (feed_streams(e->in->feed) >= most) {
        snprintf(why, sizeof(why),
                 "%" PRIu32 " event streams are open, and that is the most (http.event_streams); "
                 "try again later",
                 most);
        request_refuse_later(e, 503, CROWDED_RETRY_MS, why);
    } else if (c->producers_count > 1 && feed_streams_of(e->in->feed, e->who) >= (most + 1) / 2) {
        snprintf(why, sizeof(why),
                 "this producer has %" PRIu32 " event streams open, and one producer gets at most "
                 "half of http.event_streams; try again later",
                 (most + 1) / 2);
        request_refuse_later(e, 503, CROWDED_RETRY_MS, why);
    } else {
        return true;
    }
    return false;
}

void api_events(struct request *e)
{
    struct span name = request_query(e, "account");
    const struct config_account *a = name.p ? request_account(e, name) : NULL;
    struct answer answer = {
        .status = 200,
        .type = "text/event-stream",
        .file = -1,
        .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}},
        .more = feed_more,
    };
    unsigned kinds;

    if ((name.p && !a) || !read_kinds(e, &kinds) || !may_open(e) || !request_take(e, STREAM_BYTES))
        return;
    e->state = feed_open(e->in->feed, e, kinds, a);
    e->end = end_events;
    e->gone = events_gone;
    e->renewed = events_renewed;
    e->withdrawn = events_withdrawn;
    if (visit_header(e->visit, "Last-Event-ID").n || request_query(e, "lastEventId").n)
        feed_missed(e->state);
    answer.more_ctx = e->state;
    request_answer(e, &answer);
}
