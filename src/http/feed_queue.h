/* SPDX-License-Identifier: MIT
 * What one reader of server-sent events has still to get: a bounded queue of events, which all
 * readers share, and a pull for what is only worth its newest state. A reader that is too slow is
 * told how many events it has lost.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html */
#pragma once

#include "base.h"
#include "span.h"

/* The text of an event, shared by readers. */
struct feed_frame {
    uint32_t holds;
    uint32_t bytes;
    char text[];
};

/* "event: <name>", "id: <id>" unless it is NULL, and `data`, in which there are no line ends. */
struct feed_frame *feed_frame_new(const char *name, const char *id, struct span data);
/* ": <text>", which readers ignore; or "retry: <ms>" with the number as text. */
struct feed_frame *feed_frame_comment(const char *text);
struct feed_frame *feed_frame_retry(uint32_t ms);
struct feed_frame *feed_frame_hold(struct feed_frame *f);
void feed_frame_drop(struct feed_frame *f); /* NULL is fine */

#define FEED_QUEUE_MAX 256u               /* events that wait for one reader */
#define FEED_QUEUE_BYTES ((size_t)65536u) /* of these together */

struct feed_queue {
    struct feed_frame *at[FEED_QUEUE_MAX];
    uint32_t first, count;
    size_t bytes;
    struct feed_frame *now; /* is being sent */
    size_t sent;            /* bytes of it */
    uint64_t lost;          /* events that were dropped and not told yet */
    bool lost_some;         /* and an unknown number of others */
    bool pulled;            /* the last event came from the pull */
};

/* All zeros is an empty queue. */
void feed_queue_deinit(struct feed_queue *q);

/* Adds an event, which is held. If there is no room, it is lost, and the reader is told so. */
void feed_queue_put(struct feed_queue *q, struct feed_frame *f);
/* An unknown number of events was lost. */
void feed_queue_miss(struct feed_queue *q);

/* The next state for the reader, held for the caller; or NULL if it has the newest. */
typedef struct feed_frame *feed_pull_cb(void *ctx);
/* Writes the next bytes, at most `room`, and returns how many; 0: there is nothing. Events of the
 * queue and of the pull take turns. */
size_t feed_queue_take(struct feed_queue *q, char *out, size_t room, feed_pull_cb *pull, void *ctx);
