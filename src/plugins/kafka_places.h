/* SPDX-License-Identifier: MIT
 * Where a consumer stands in each of the partitions of its topic that it has been given. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "base.h"

struct kafka_place {
    bool assigned;
    int64_t
        done; /* offset after the last message whose job Redis has, or RD_KAFKA_OFFSET_INVALID */
    int64_t committed; /* what the broker has, as far as we know, or RD_KAFKA_OFFSET_INVALID */
};

/* Must be zeroed before the first use. */
struct kafka_places {
    struct kafka_place *all; /* by number of the partition */
    int32_t count;
};

void kafka_places_deinit(struct kafka_places *p);
/* committed: where the group continues, or RD_KAFKA_OFFSET_INVALID. A number that no broker has is
 * left out. */
void kafka_places_assign(struct kafka_places *p, int32_t partition, int64_t committed);
void kafka_places_revoke(struct kafka_places *p, int32_t partition);
struct kafka_place *kafka_places_find(const struct kafka_places *p,
                                      int32_t partition); /* or NULL */

/* New lists of the partitions that are assigned: all; and those with something to commit, each with
 * its offset, and NULL if there are none. */
rd_kafka_topic_partition_list_t *kafka_places_list(const struct kafka_places *p, const char *topic);
rd_kafka_topic_partition_list_t *kafka_places_unsaved(const struct kafka_places *p,
                                                      const char *topic);
/* Takes over what was committed. */
void kafka_places_saved(struct kafka_places *p, const rd_kafka_topic_partition_list_t *list);
