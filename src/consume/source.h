/* SPDX-License-Identifier: MIT
 * A source of messages: the functions that each kind of message queue offers to a consumer. They
 * are called by one thread, which may block in them.
 *
 *     open ─▶ fetch ─▶ commit ─▶ fetch ─▶ commit ... ─▶ close
 *
 * What was fetched and not committed is fetched again later, by this consumer or by another one. */
#pragma once

#include "config.h"
#include "error.h"

#define SOURCE_BATCH 512u /* messages of one fetch */

struct source_header {
    struct span name, value;
};

/* All of it is valid until the next call for the same source. */
struct source_message {
    struct span body;
    struct span partition; /* "": the source has none */
    struct span offset;    /* where the message is: an offset, an id; "": the source cannot say */
    const struct source_header *headers;
    size_t headers_count;
    bool absent;      /* there is no body: what the message is about was deleted */
    const char *flaw; /* why the source itself cannot make sense of it; NULL: it can */
};

/* What waits in a queue, as far as it can tell. */
struct source_lag {
    bool messages_known, oldest_known;
    uint64_t messages;
    uint64_t oldest_ms; /* age of the oldest message; 0: none waits */
};

struct message_source {
    const char *name; /* as in the configuration */

    /* Connects. 0, or negative errno with a sentence. The configuration must outlive the source. */
    int (*open)(const struct config *config, const struct config_consumer *c, void **out,
                struct error *err);
    /* Waits until there are messages, `stop_fd` is readable, or some seconds are over. Returns the
     * number of messages, at most `max` (1 to SOURCE_BATCH), 0 for none; or negative errno with a
     * sentence, and then the source must be closed. -EAGAIN: the source is away and connects again
     * by itself, so it may stay open. The earlier messages must have been committed. */
    int (*fetch)(void *source, int stop_fd, uint32_t max, struct source_message *out,
                 struct error *err);
    /* Tells the queue that the first `count` messages of the last fetch are done. If these are not
     * all, the source must be closed next, or fetches the others again if it has `hold`. 0, or
     * negative errno with a sentence: some or all of them may come again, and the source must be
     * closed. */
    int (*commit)(void *source, uint32_t count, struct error *err);
    void (*close)(void *source); /* NULL is fine */
    /* Connects and looks whether the consumer could work, without changing anything or taking a
     * message away from those who read. 0, and in `note` a sentence about what opening it will
     * create, or ""; or negative errno with a sentence. */
    int (*look)(const struct config *config, const struct config_consumer *c, struct error *note,
                struct error *err);
    /* Asks what waits; only after everything that was fetched is committed. 0, also if the queue
     * does not tell; or negative errno with a sentence, and then the source must be closed. */
    int (*lag)(void *source, struct source_lag *out, struct error *err);
    /* Waits that long without fetching, or until `stop_fd` is readable, and stays a member of its
     * group meanwhile. Called instead of fetch. Returns the same as fetch, but never a number above
     * 0. NULL: the source has no group, and is closed instead, so that others can take what it has
     * been sent ahead. */
    int (*hold)(void *source, int stop_fd, uint64_t ms, struct error *err);
};

/* Loads the plugin of a source that needs a library of its own. NULL, with a sentence, if there is
 * none. */
must_use const struct message_source *source_of(const struct config_consumer *c, struct error *err);

extern const struct message_source source_redis_list, source_redis_stream;
