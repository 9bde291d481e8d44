/* SPDX-License-Identifier: MIT */
#include "source.h"

const struct message_source *source_of(const struct config_consumer *c)
{
    switch (c->source) {
    case CONSUMER_REDIS_STREAM:
        return &source_redis_stream;
    case CONSUMER_REDIS_LIST:
    default:
        return &source_redis_list;
    }
}
