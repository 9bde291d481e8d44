/* SPDX-License-Identifier: MIT
 * What the fuzzers of connections to Redis do with the reply of redis_stream: it comes in few bytes
 * at a time, ends with a line, and is invalid if it has an E. The fuzzer has the last function,
 * which is told of the end. */
#pragma once

#include <errno.h>
#include <string.h>

#include "base.h"

static char stream_bytes[7];

static inline char *stream_room(void *ctx, size_t *n)
{
    (void)ctx;
    *n = sizeof(stream_bytes);
    return stream_bytes;
}

static inline int stream_took(void *ctx, size_t n)
{
    (void)ctx;
    must(n > 0 && n <= sizeof(stream_bytes));
    if (memchr(stream_bytes, 'E', n))
        return -EPROTO;
    return stream_bytes[n - 1] == '\n';
}

static inline const char *stream_error(void *ctx)
{
    (void)ctx;
    return stream_bytes[0] == '-' ? "ERR of the stream" : NULL;
}
