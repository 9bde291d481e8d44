/* SPDX-License-Identifier: MIT
 * Encodes commands and decodes replies without allocations, for connections with hundreds of
 * thousands of jobs per second. hiredis makes a dozen small allocations per job. */
#pragma once

#include "span.h"

#define REDIS_KEPT_BYTES ((size_t)256 * 1024) /* larger buffers are freed after use */
/* What a buffer holds while little passes, as with most of many accounts. */
#define REDIS_IDLE_BYTES ((size_t)4096)

/* Bytes on their way to Redis: p[from] to p[to] are not sent yet. Grows; must be zeroed at first;
 * free `p`. */
struct redis_text {
    char *p;
    size_t room, from, to;
    uint32_t idle; /* how often in a row the buffer was emptied after little use */
};

/* Appends the command in wire format.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ */
void redis_format(struct redis_text *t, size_t argc, const struct span *argv);
void redis_text_add(struct redis_text *t, struct span formatted); /* appends it as it is */
/* Removes n bytes from the front. A buffer that large commands have made grow is freed when it is
 * empty: a very large one at once, others after some small commands. */
void redis_text_sent(struct redis_text *t, size_t n);

enum redis_part_kind {
    REDIS_PART_STRING, /* a bulk string */
    REDIS_PART_ARRAY,
    REDIS_PART_ERROR,
    REDIS_PART_OTHER
};

/* A part of a reply that is being received. A part that is nil has the kind of what is missing. */
struct redis_part {
    enum redis_part_kind kind;
    unsigned level;   /* 0: the reply itself, 1: its elements ... */
    size_t index;     /* index in its array */
    size_t count;     /* for an array: its number of elements */
    struct span text; /* for a string, an error or a status */
};
typedef bool redis_part_cb(void *ctx, const struct redis_part *p); /* false: refused */

struct redisReply;
/* A reply from its wire format, to be freed with reply_free_duplicate. */
struct redisReply *redis_reply_of(const char *text);

struct redis_reader; /* turns bytes into replies, for one connection */

/* Calls `judge` for each part of a reply. If it refuses one, reading ends with an error. NULL:
 * everything is accepted. */
struct redis_reader *redis_reader_new(redis_part_cb *judge, void *ctx);
void redis_reader_free(struct redis_reader *r); /* NULL is fine */
void redis_reader_feed(struct redis_reader *r, const char *p, size_t n);
/* Gets the next reply; it is valid until the next call. 1; or 0: it has not arrived completely; or
 * -EPROTO with a sentence, and then nothing more can be read. */
must_use int redis_reader_next(struct redis_reader *r, struct redisReply **out, const char **why);