/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "queue_internal.h"

/* One read at a time, on the reader's connection. A command has a single COUNT, which applies to
 * each of its streams separately.
 *
 * Reads use no consumer group: there is one reader at a time (the lease), it remembers how far it
 * has read, and after a restart everything that has not ended is still there, in order. A group
 * would cost Redis five times as much for each entry, and could hand entries to a connection that
 * is already dead.
 *
 * https://redis.io/docs/latest/commands/xread/ */

int queue_parse_id(struct span s, struct entry_id *out)
{
    const char *dash = s.n ? memchr(s.p, '-', s.n) : NULL;
    struct entry_id id;

    if (!dash || span_to_plain_u64(span_of(s.p, (size_t)(dash - s.p)), &id.ms) < 0)
        return -EINVAL;
    dash++;
    if (span_to_plain_u64(span_of(dash, s.n - (size_t)(dash - s.p)), &id.seq) < 0)
        return -EINVAL;
    *out = id;
    return 0;
}

/* Parses an id without checks, for speed: ids arrive by the hundred thousand, and Redis wrote them
 * itself. */
static struct entry_id id_of(struct span s)
{
    struct entry_id id = {0, 0};
    uint64_t *at = &id.ms;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '-')
            at = &id.seq;
        else
            *at = *at * 10 + (uint64_t)(s.p[i] - '0');
    }
    return id;
}

/* -- entries as they arrive -- */

static bool on_stream(void *ctx, struct span key, uint64_t entries)
{
    struct queue *q = ctx;

    for (int lane = 0; lane < LANE_N; lane++) {
        if (!q->reading.how.lanes[lane] || !span_is(key, q->keys[KEY_JOBS + lane]))
            continue;
        q->lanes[lane].got = entries;
        q->reading.lane = (enum lane)lane;
        return true;
    }
    return false;
}

static bool on_room(void *ctx, uint64_t bytes)
{
    struct queue *q = ctx;
    struct queue_reading *r = &q->reading;
    bool yes = r->how.room(r->ctx, r->lane, bytes);

    r->refused = r->refused || !yes;
    return yes;
}

static bool on_entry(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                     uint64_t bytes, bool oversized)
{
    struct queue *q = ctx;
    struct queue_reading *r = &q->reading;
    struct queue_entry e = {.lane = r->lane,
                            .id = id_of(id),
                            .fields = fields,
                            .fields_count = fields_count / 2 * 2, /* names and values */
                            .bytes = bytes,
                            .oversized = oversized};

    if (!r->how.entry(r->ctx, &e)) {
        r->refused = true;
        return false;
    }
    if (queue_id_compare(e.id, q->lanes[e.lane].seen) > 0)
        q->lanes[e.lane].seen = e.id;
    queue_front_saw(&q->lanes[e.lane], &e);
    return true;
}

struct redis_entries *queue_entries_new(struct queue *q)
{
    static const struct redis_entries_sink sink = {on_stream, on_room, on_entry};

    return redis_entries_new(&sink, q);
}

size_t queue_reading_bytes(const struct queue *q)
{
    return redis_entries_bytes(q->entries);
}

/* -- a read -- */

static char *room_for_bytes(void *ctx, size_t *n)
{
    struct queue *q = ctx;

    return redis_entries_room(q->entries, n);
}

static int took_bytes(void *ctx, size_t n)
{
    struct queue *q = ctx;

    return redis_entries_took(q->entries, n);
}

static const char *refusal(void *ctx)
{
    struct queue *q = ctx;

    return redis_entries_error(q->entries);
}

static bool found_nothing(const struct queue *q)
{
    for (int lane = 0; lane < LANE_N; lane++)
        if (q->lanes[lane].got)
            return false;
    return true;
}

void queue_finish_read(struct queue *q, int err)
{
    struct queue_reading *r = &q->reading;
    bool all = !r->refused;

    for (int lane = 0; lane < LANE_N; lane++) {
        all = all && q->lanes[lane].got < r->how.count;
        q->lanes[lane].read_since |=
            err == 0 && !r->refused && r->how.lanes[lane] && q->lanes[lane].got < r->how.count;
    }
    r->busy = false;
    r->how.done(r->ctx, err, err == 0 && all);
}

static void on_read(void *ctx, int err)
{
    struct queue *q = ctx;
    const char *words = redis_entries_error(q->entries);

    if (err == 0)
        err = queue_judge_words(q, QUEUE_QUESTION_READ, "read the lanes", words);
    redis_entries_end(q->entries);
    if (!connections_read_ended(q, err, found_nothing(q)))
        queue_finish_read(q, err);
}

void queue_send_read(struct queue *q, struct redis *reader, uint32_t block_ms)
{
    static const struct redis_sink sink = {room_for_bytes, took_bytes, refusal, on_read};
    const struct queue_read *how = &q->reading.how;
    struct span argv[8 + 2 * LANE_N];
    struct queue_args a;
    size_t n = 0;

    queue_args_init(&a);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_arg_id(&a, q->lanes[lane].seen);
    queue_arg_u64(&a, how->count);
    queue_arg_u64(&a, block_ms);
    argv[n++] = SPAN("XREAD");
    argv[n++] = SPAN("COUNT");
    argv[n++] = queue_arg_at(&a, LANE_N);
    if (block_ms) {
        argv[n++] = SPAN("BLOCK");
        argv[n++] = queue_arg_at(&a, LANE_N + 1);
    }
    argv[n++] = SPAN("STREAMS");
    for (int lane = 0; lane < LANE_N; lane++)
        if (how->lanes[lane])
            argv[n++] = span_str(q->keys[KEY_JOBS + lane]);
    for (size_t lane = 0; lane < LANE_N; lane++)
        if (how->lanes[lane])
            argv[n++] = queue_arg_at(&a, lane);
    redis_entries_begin(q->entries, how->entry_max_bytes);
    redis_stream(reader, block_ms, n, argv, &sink, q);
    queue_args_deinit(&a);
}

void queue_read(struct queue *q, const struct queue_read *how, void *ctx)
{
    must(!q->reading.busy && how->count > 0);
    q->reading = (struct queue_reading){.busy = true, .how = *how, .ctx = ctx};
    for (int lane = 0; lane < LANE_N; lane++)
        q->lanes[lane].got = 0;
    connections_read(q);
}

void queue_rewind(struct queue *q)
{
    for (int lane = 0; lane < LANE_N; lane++)
        q->lanes[lane] = (struct queue_lane){.got = q->lanes[lane].got};
    q->adopted = false;
    connections_rewound(q);
}
