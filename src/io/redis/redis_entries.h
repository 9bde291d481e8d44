/* SPDX-License-Identifier: MIT
 * The reply to XREAD, entry by entry, as its bytes arrive: it holds one entry at a time in memory,
 * and skips entries that are too large or for which there is no room.
 *
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2) */
#pragma once

#include "job.h"

#define ENTRIES_READ_BYTES ((size_t)64 * 1024) /* memory that is always there */

struct redis_entries;

/* Everything is lent for the call. None may call back into the parser. */
struct redis_entries_sink {
    /* A stream begins, with so many entries. False: none of them is wanted. */
    bool (*stream)(void *ctx, struct span key, uint64_t entries);
    /* May an entry of at least so many bytes be held? Asked when it grows beyond what is always
     * there. False: it and what follows it in its stream is passed over. */
    bool (*room)(void *ctx, uint64_t bytes);
    /* The next entry: name, value, name, value ... `bytes` is its size as job_bytes counts. Beyond
     * the ceiling `oversized` is set, and of its fields only small ones that hold no targets are
     * there. False: what follows it in its stream is passed over. */
    bool (*entry)(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                  uint64_t bytes, bool oversized);
};

struct redis_entries *redis_entries_new(const struct redis_entries_sink *sink, void *ctx);
void redis_entries_free(struct redis_entries *e); /* NULL is fine */

/* A new reply is expected, with entries of at most `max_bytes`. */
void redis_entries_begin(struct redis_entries *e, uint64_t max_bytes);
/* Where to put the next bytes that arrive; *room is never 0. */
char *redis_entries_room(struct redis_entries *e, size_t *room);
/* So many were put there. 1: the reply is complete; 0: more is to come; -EPROTO: no such reply. */
must_use int redis_entries_took(struct redis_entries *e, size_t n);
/* After 1: the words of a refusal, or NULL. Valid until the next begins. */
const char *redis_entries_error(const struct redis_entries *e);
/* The reply is over, or will not come: gives back what a large entry took. */
void redis_entries_end(struct redis_entries *e);
size_t redis_entries_bytes(const struct redis_entries *e); /* held now */
