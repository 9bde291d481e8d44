/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "queue_internal.h"

/* One read at a time, on the reader's connection. COUNT is one for all streams of a command, and
 * holds for each.
 *
 * No consumer group: there is one reader at a time (the lease), it remembers how far it came, and
 * after a restart everything that has not ended is still there, in order. A group would cost Redis
 * five times as much for each entry, and could hand entries to a connection that is dead already.
 *
 * https://redis.io/docs/latest/commands/xread/ */

static struct redis *reader_of(struct queue *q)
{
    return q->reader ? q->reader : q->writer; /* closing: it fails there, in turn */
}

int queue_parse_id(struct span s, struct entry_id *out)
{
    const char *dash = s.n ? memchr(s.p, '-', s.n) : NULL;
    struct entry_id id;

    if (!dash || span_to_u64(span_of(s.p, (size_t)(dash - s.p)), &id.ms) < 0)
        return -EINVAL;
    dash++;
    if (span_to_u64(span_of(dash, s.n - (size_t)(dash - s.p)), &id.seq) < 0)
        return -EINVAL;
    *out = id;
    return 0;
}

/* Ids arrive by the hundred thousand and are Redis' own words: the short way. */
static struct entry_id id_of(const redisReply *r)
{
    struct entry_id id = {0, 0};
    uint64_t *at = &id.ms;

    for (size_t i = 0; i < (size_t)r->len; i++) {
        if (r->str[i] == '-')
            at = &id.seq;
        else
            *at = *at * 10 + (uint64_t)(r->str[i] - '0');
    }
    return id;
}

static bool is_array(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY;
}

/* -- entries out of replies -- */

struct found { /* what a reply holds, all lanes together */
    size_t entries, spans;
};

/* A reply to XREAD is an array of [key, entries]; nil when there is nothing. */
static void count_found(const redisReply *streams, struct found *f)
{
    if (!is_array(streams))
        return;
    for (size_t s = 0; s < streams->elements; s++) {
        const redisReply *stream = streams->element[s];
        const redisReply *entries;

        if (!is_array(stream) || stream->elements != 2 || !is_array(stream->element[1]))
            continue;
        entries = stream->element[1];
        f->entries += entries->elements;
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *e = entries->element[i];

            if (is_array(e) && e->elements == 2 && is_array(e->element[1]))
                f->spans += e->element[1]->elements;
        }
    }
}

static void make_room(struct queue *q, const struct found *f)
{
    if (f->entries > q->entries_room) {
        q->entries_room = f->entries + f->entries / 2;
        q->entries = alloc_grow(q->entries, q->entries_room, sizeof(*q->entries));
    }
    if (f->spans > q->spans_room) {
        q->spans_room = f->spans + f->spans / 2;
        q->spans = alloc_grow(q->spans, q->spans_room, sizeof(*q->spans));
    }
}

static bool id_after(struct entry_id a, struct entry_id b)
{
    return a.ms != b.ms ? a.ms > b.ms : a.seq > b.seq;
}

static void take_entry(struct queue *q, enum lane lane, const redisReply *e, struct found *f)
{
    struct queue_entry *out = &q->entries[f->entries];
    const redisReply *fields;

    if (!is_array(e) || e->elements != 2 || e->element[0]->type != REDIS_REPLY_STRING)
        return;
    fields = e->element[1];
    *out = (struct queue_entry){.lane = lane, .id = id_of(e->element[0])};
    if (is_array(fields) && fields->elements) {
        out->fields = q->spans + f->spans;
        for (size_t i = 0; i < fields->elements; i++)
            q->spans[f->spans++] = reply_text(fields->element[i]);
        out->fields_count = fields->elements / 2 * 2; /* names and values */
    }
    f->entries++;
    if (id_after(out->id, q->lanes[lane].seen))
        q->lanes[lane].seen = out->id;
}

static bool lane_of_key(const struct queue *q, const redisReply *key, enum lane *out)
{
    for (int lane = 0; lane < LANE_N; lane++) {
        if (key->type == REDIS_REPLY_STRING &&
            span_is(span_of(key->str, (size_t)key->len), q->keys[KEY_JOBS + lane])) {
            *out = (enum lane)lane;
            return true;
        }
    }
    return false;
}

static void take_streams(struct queue *q, const redisReply *streams, struct found *f)
{
    if (!is_array(streams))
        return;
    for (size_t s = 0; s < streams->elements; s++) {
        const redisReply *stream = streams->element[s];
        enum lane lane;

        if (!is_array(stream) || stream->elements != 2 || !is_array(stream->element[1]) ||
            !lane_of_key(q, stream->element[0], &lane))
            continue;
        q->lanes[lane].got += stream->element[1]->elements;
        for (size_t i = 0; i < stream->element[1]->elements; i++)
            take_entry(q, lane, stream->element[1]->element[i], f);
    }
}

/* -- a read -- */

static void answer(struct queue *q, int err, size_t count)
{
    struct queue_reading *r = &q->reading;
    struct queue_entries out = {.at = q->entries, .count = count, .all = true};

    for (int lane = 0; lane < LANE_N; lane++) {
        out.all = out.all && q->lanes[lane].got < r->count;
        q->lanes[lane].read_since |= err == 0 && r->asked[lane] && q->lanes[lane].got < r->count;
    }
    r->busy = false;
    r->cb(r->ctx, err, err ? NULL : &out);
}

static void on_streams(void *ctx, struct redisReply *reply)
{
    struct queue *q = ctx;
    struct found f = {0};
    int err = queue_judge(q, QUEUE_QUESTION_READ, "read the lanes", reply);

    if (err) {
        answer(q, err, 0);
        return;
    }
    count_found(reply, &f);
    make_room(q, &f);
    f = (struct found){0};
    take_streams(q, reply, &f);
    answer(q, 0, f.entries);
}

void queue_read(struct queue *q, const bool lanes[LANE_N], uint32_t count, uint32_t block_ms,
                queue_read_cb *cb, void *ctx)
{
    struct span argv[8 + 2 * LANE_N];
    struct queue_args a;
    size_t n = 0;

    must(!q->reading.busy && count > 0);
    q->reading = (struct queue_reading){.busy = true, .count = count, .cb = cb, .ctx = ctx};
    queue_args_init(&a);
    for (int lane = 0; lane < LANE_N; lane++) {
        q->lanes[lane].got = 0;
        q->reading.asked[lane] = lanes[lane];
        queue_arg_id(&a, q->lanes[lane].seen);
    }
    queue_arg_u64(&a, count);
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
        if (lanes[lane])
            argv[n++] = span_str(q->keys[KEY_JOBS + lane]);
    for (size_t lane = 0; lane < LANE_N; lane++)
        if (lanes[lane])
            argv[n++] = queue_arg_at(&a, lane);
    redis_command_blocking(reader_of(q), block_ms, n, argv, on_streams, q);
    queue_args_deinit(&a);
}

void queue_rewind(struct queue *q)
{
    for (int lane = 0; lane < LANE_N; lane++)
        q->lanes[lane] = (struct queue_lane){.got = q->lanes[lane].got};
    q->adopted = false;
}
