/* SPDX-License-Identifier: MIT
 * A stream that another application fills, read as a member of a consumer group: XREADGROUP, XACK,
 * and XAUTOCLAIM for what other members have left unacknowledged. */
#pragma once

#include "client.h"

#define FOREIGN_STREAM_BATCH 512u

struct foreign_entry {
    struct span id;
    const struct span *fields; /* name, value, name, value ... */
    size_t fields_count;       /* even */
};

struct foreign_stream;

/* Connects, and creates the group (from the beginning of the stream) and the stream if they do not
 * exist. `member` is our name in the group. Entries that another member has not acknowledged for
 * `claim_after_ms` are taken over. 0, or negative errno with a sentence. */
must_use int foreign_stream_open(const struct redis_address *a, const char *stream,
                                 const char *group, const char *member, uint64_t claim_after_ms,
                                 struct foreign_stream **out, struct error *err);
void foreign_stream_close(struct foreign_stream *s); /* NULL is fine */

/* Gets the next entries: first those that we have read before without acknowledging them, then
 * those that others have left, then new ones. Waits until there are any, `stop_fd` is readable, or
 * some seconds are over. Writes at most `max` and at most FOREIGN_STREAM_BATCH entries, which are
 * valid until the next call. Returns how many; or negative errno with a sentence, and then the
 * stream must be closed. */
must_use int foreign_stream_fetch(struct foreign_stream *s, int stop_fd, uint32_t max,
                                  struct foreign_entry *entries, struct error *err);
/* Acknowledges the first `count` of the entries that were fetched last. */
must_use int foreign_stream_done(struct foreign_stream *s, uint32_t count, struct error *err);
/* How many entries the group has not read yet, nor acknowledged. 1; 0: Redis does not know (before
 * version 7, or after entries were deleted), or may not tell us; or negative errno with a sentence.
 */
must_use int foreign_stream_waiting(struct foreign_stream *s, uint64_t *out, struct error *err);
