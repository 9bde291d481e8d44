/* SPDX-License-Identifier: MIT
 * The messages of a topic that were fetched and are not done, in their order. */
#pragma once

#include "kafka_places.h"
#include "source.h"

#define KAFKA_HEADERS_MAX 32
/* More than a batch, for those that come although partitions are paused. */
#define KAFKA_MESSAGES_ROOM (SOURCE_BATCH + 64)
#define KAFKA_NUMBER_ROOM 24

struct kafka_message {
    rd_kafka_event_t *event;     /* holds the message */
    const rd_kafka_message_t *m; /* NULL: it cannot be read */
    char *flaw;                  /* and this is why */
    int32_t partition;
    int64_t offset;
    struct source_header headers[KAFKA_HEADERS_MAX + 1];
    char partition_text[KAFKA_NUMBER_ROOM], offset_text[KAFKA_NUMBER_ROOM];
};

/* Must be zeroed before the first use. */
struct kafka_messages {
    struct kafka_message all[KAFKA_MESSAGES_ROOM];
    uint32_t count; /* less than KAFKA_MESSAGES_ROOM before something is kept */
};

/* Takes the event, and keeps its message if the partition is assigned. */
void kafka_messages_keep(struct kafka_messages *k, const struct kafka_places *p,
                         rd_kafka_event_t *e);
/* Takes the event of an error if it is about messages that are damaged, or compressed in a way that
 * the library does not know. The library goes on with the next ones. False: it is not. */
bool kafka_messages_keep_flaw(struct kafka_messages *k, const struct kafka_places *p,
                              rd_kafka_event_t *e);
/* What the consumer gets; valid until something is dropped. */
struct source_message kafka_messages_show(struct kafka_messages *k, uint32_t nth);
void kafka_messages_drop(struct kafka_messages *k, uint32_t n); /* the first n */
void kafka_messages_drop_partition(struct kafka_messages *k, int32_t partition);
