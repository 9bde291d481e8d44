/* SPDX-License-Identifier: MIT
 * The format of a postponed job in Redis, also written and read by Lua's cmsgpack: an array of
 * lane, job id, entry id, and the array of its fields (name, value, name ...).
 * https://github.com/msgpack/msgpack/blob/master/spec.md */
#pragma once

#include "buf.h"
#include "config.h"

struct packed_job {
    enum lane lane;
    struct span job, entry;
    struct span *fields; /* point into the packed bytes; free() the array */
    size_t fields_count;
};

/* Returns 0, or -EINVAL if `bytes` is not a postponed job. */
must_use int queue_unpack(struct span bytes, struct packed_job *out);
/* *out must be initialized. */
void queue_pack(const struct packed_job *job, struct buf *out);
