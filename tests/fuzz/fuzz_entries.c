/* SPDX-License-Identifier: MIT
 * Replies to XREAD from a server that may not be a real Redis. Input: a byte for the size of the
 * pieces in which the reply arrives, a byte for the limits, then the reply. The result must not
 * depend on the size of the pieces. */
#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "fuzz.h"
#include "redis_entries.h"

struct sums {
    uint64_t hash;
    uint64_t room_bytes;
    size_t entries;
};

static void add(struct sums *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    s->hash = (s->hash ^ n) * UINT64_C(1099511628211);
}

static bool on_stream(void *ctx, struct span key, uint64_t entries)
{
    add(ctx, key.p, key.n);
    return entries % 7 != 3;
}

static bool on_room(void *ctx, uint64_t bytes)
{
    const struct sums *s = ctx;

    return bytes <= s->room_bytes;
}

static bool on_entry(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                     uint64_t bytes, bool oversized)
{
    struct sums *s = ctx;
    uint64_t sum = 0;

    add(s, id.p, id.n);
    for (size_t i = 0; i < fields_count; i++) {
        add(s, fields[i].p, fields[i].n);
        sum += fields[i].n + JOB_STRING_BYTES;
    }
    must(oversized ? sum <= bytes : sum == bytes);
    must(!oversized || fields_count <= 32);
    return ++s->entries % 5 != 4;
}

static int feed(struct span reply, size_t step, unsigned ceilings, struct sums *s)
{
    static const struct redis_entries_sink sink = {on_stream, on_room, on_entry};
    struct redis_entries *e = redis_entries_new(&sink, s);
    uint64_t max_bytes = ceilings & 1 ? 200 : UINT64_C(1) << 20;
    int rc = 0;

    *s = (struct sums){.room_bytes = ceilings & 2 ? 0 : UINT64_C(1) << 22};
    redis_entries_begin(e, max_bytes);
    while (rc == 0 && reply.n) {
        size_t room, n = step < reply.n ? step : reply.n;
        char *at = redis_entries_room(e, &room);

        n = n < room ? n : room;
        memcpy(at, reply.p, n);
        reply = span_of(reply.p + n, reply.n - n);
        rc = redis_entries_took(e, n);
        must(redis_entries_bytes(e) <= 8 * max_bytes + 8 * ENTRIES_READ_BYTES);
    }
    if (rc == 1 && redis_entries_error(e))
        add(s, redis_entries_error(e), strlen(redis_entries_error(e)));
    redis_entries_free(e);
    return rc == 1 && reply.n ? -EPROTO : rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span reply;
    struct sums whole, pieces;
    int a, b;

    if (size < 2)
        return 0;
    reply = span_of((const char *)data + 2, size - 2);
    a = feed(reply, SIZE_MAX, data[1], &whole);
    b = feed(reply, (size_t)data[0] + 1, data[1], &pieces);
    must((a < 0) == (b < 0) && (a < 0 || a == b));
    must(a < 0 || whole.hash == pieces.hash);
    return 0;
}
