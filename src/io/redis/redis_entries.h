/* SPDX-License-Identifier: MIT
 * Parses the reply to XREAD entry by entry as its bytes arrive. It holds one entry at a time in
 * memory, and skips entries that are too large or for which there is no room.
 *
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2) */
#pragma once

#include "job.h"

#define ENTRIES_READ_BYTES ((size_t)64 * 1024) /* memory that is always available */

struct redis_entries;

/* All arguments are valid only during the call. The functions must not call the parser. */
struct redis_entries_sink {
    /* A stream with this many entries begins. False: skip it. */
    bool (*stream)(void *ctx, struct span key, uint64_t entries);
    /* Whether an entry of at least this many bytes may be held in memory. Called when it grows
     * beyond the memory that is always available. False: skip it and the rest of its stream. */
    bool (*room)(void *ctx, uint64_t bytes);
    /* The next entry: name, value, name, value ... `bytes` is its size as job_bytes counts. If the
     * entry is above the limit, `oversized` is set, and only small fields without targets are
     * given. False: skip the rest of its stream. */
    bool (*entry)(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                  uint64_t bytes, bool oversized);
};

struct redis_entries *redis_entries_new(const struct redis_entries_sink *sink, void *ctx);
void redis_entries_free(struct redis_entries *e); /* NULL is fine */

/* Starts a new reply, with entries of at most `max_bytes`. */
void redis_entries_begin(struct redis_entries *e, uint64_t max_bytes);
/* Where to put the next bytes that arrive; *room is never 0. */
char *redis_entries_room(struct redis_entries *e, size_t *room);
/* Parses n bytes that were put there. 1: the reply is complete; 0: more must come; -EPROTO: not a
 * valid reply. */
must_use int redis_entries_took(struct redis_entries *e, size_t n);
/* After 1: Redis' error message, or NULL. Valid until the next reply begins. */
const char *redis_entries_error(const struct redis_entries *e);
/* To be called when the reply has ended or will not come. Frees the memory of a large entry. */
void redis_entries_end(struct redis_entries *e);
size_t redis_entries_bytes(const struct redis_entries *e); /* memory in use */
