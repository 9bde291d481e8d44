/* SPDX-License-Identifier: MIT
 * The source of all event streams: while somebody listens, it asks Redis once a second for the
 * state of the accounts that somebody watches, and hears of each job that ends. All streams share
 * what it makes. Without a stream it costs nothing: no connection, no timer.
 *
 *   Redis' state, once a second ─▶ feed ─▶ status, act, dead ─┐
 *   channel "settled" ─▶ feed ─▶ receipts of a few ─▶ job ────┴─▶ queue of each stream ─▶ reader */
#pragma once

#include "feed_queue.h"
#include "http_internal.h"

enum feed_kind { FEED_STATUS, FEED_JOB, FEED_DEAD, FEED_ACT, FEED_KIND_N };
extern const char *const feed_kind_names[FEED_KIND_N];

struct feed *feed_new(struct http_server *in);
uint32_t feed_streams(const struct feed *f); /* that are open */
/* How many of these the producer has. */
uint32_t feed_streams_of(const struct feed *f, const struct config_producer *who);
/* Ends all streams, because the server stops; none may be opened any more. */
void feed_stop(struct feed *f);
/* No stream may be open any more. */
void feed_close(struct feed *f, loop_cb *closed, void *ctx);
void feed_free(struct feed *f); /* after feed_close, and after the last answer of Redis */

struct feed_stream;

/* Opens the stream of a request that is being answered. `kinds`: bits 1 << enum feed_kind.
 * `account`: NULL for all that the producer may use. */
struct feed_stream *feed_open(struct feed *f, struct request *e, unsigned kinds,
                              const struct config_account *account);
void feed_leave(struct feed_stream *s);
/* The next bytes for its reader: visit_more_cb. */
size_t feed_more(void *ctx, char *out, size_t room);
/* The producer's permissions may be others now. */
void feed_renew(struct feed_stream *s);
/* Ends the stream with a reason. */
enum feed_again { FEED_FOR_GOOD, FEED_COME_AGAIN };
void feed_end(struct feed_stream *s, const char *why, enum feed_again again);
/* The client has lost an earlier connection, and with it an unknown number of events. */
void feed_missed(struct feed_stream *s);
