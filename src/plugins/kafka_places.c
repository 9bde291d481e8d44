/* SPDX-License-Identifier: MIT */
#include "kafka_places.h"

#include <stdlib.h>

#include "alloc.h"

#define PARTITIONS_MAX (1 << 20)

void kafka_places_deinit(struct kafka_places *p)
{
    free(p->all);
    *p = (struct kafka_places){0};
}

void kafka_places_assign(struct kafka_places *p, int32_t partition, int64_t committed)
{
    if (partition < 0 || partition >= PARTITIONS_MAX)
        return;
    if (partition >= p->count) {
        p->all = alloc_grow(p->all, (size_t)partition + 1, sizeof(*p->all));
        for (; p->count <= partition; p->count++)
            p->all[p->count] = (struct kafka_place){0};
    }
    p->all[partition] =
        (struct kafka_place){.assigned = true, .done = committed, .committed = committed};
}

void kafka_places_revoke(struct kafka_places *p, int32_t partition)
{
    if (partition >= 0 && partition < p->count)
        p->all[partition].assigned = false;
}

struct kafka_place *kafka_places_find(const struct kafka_places *p, int32_t partition)
{
    return partition >= 0 && partition < p->count && p->all[partition].assigned ? &p->all[partition]
                                                                                : NULL;
}

rd_kafka_topic_partition_list_t *kafka_places_list(const struct kafka_places *p, const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(p->count);

    for (int32_t i = 0; i < p->count; i++)
        if (p->all[i].assigned)
            rd_kafka_topic_partition_list_add(list, topic, i);
    return list;
}

rd_kafka_topic_partition_list_t *kafka_places_unsaved(const struct kafka_places *p,
                                                      const char *topic)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    for (int32_t i = 0; i < p->count; i++) {
        if (!p->all[i].assigned || p->all[i].done == p->all[i].committed)
            continue;
        if (!list)
            list = rd_kafka_topic_partition_list_new(p->count);
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = p->all[i].done;
    }
    return list;
}

void kafka_places_saved(struct kafka_places *p, const rd_kafka_topic_partition_list_t *list)
{
    struct kafka_place *place;

    for (int i = 0; i < list->cnt; i++) {
        place = kafka_places_find(p, list->elems[i].partition);
        if (place && !list->elems[i].err)
            place->committed = list->elems[i].offset;
    }
}
