/* SPDX-License-Identifier: MIT
 * Looks at the list or stream of another application without changing anything: is it of the right
 * type, and may we do what a consumer does? */
#pragma once

#include "client.h"

/* 0, or negative errno with a sentence. A list that does not exist is an empty one. */
must_use int foreign_list_look(const struct redis_address *a, const char *list,
                               const char *consumer, struct error *err);

enum foreign_group {
    FOREIGN_GROUP_EXISTS,
    FOREIGN_GROUP_MISSING, /* the stream exists */
    FOREIGN_STREAM_MISSING,
};

/* The same for a stream. If there is no group, also whether we may create it. */
must_use int foreign_stream_look(const struct redis_address *a, const char *stream,
                                 const char *group, enum foreign_group *out, struct error *err);
