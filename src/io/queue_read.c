/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

/* One read at a time, on the reader's connection. COUNT holds per stream and is one for all streams
 * of a command, so lanes that want different numbers are asked in one MULTI, which comes back as
 * one reply and can be lent whole. Blocking is not possible there; when all are empty, a second
 * command waits for the first entry of any lane, with the smallest number of them.
 *
 * https://redis.io/docs/latest/commands/xreadgroup/ */

static void send_read(struct queue *q);

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

/* A reply to XREADGROUP is an array of [key, entries]; nil when there is nothing. */
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
    out->fields = q->spans + f->spans;
    if (is_array(fields)) {
        for (size_t i = 0; i < fields->elements; i++)
            q->spans[f->spans++] =
                span_of(fields->element[i]->str, (size_t)fields->element[i]->len);
        out->fields_count = fields->elements;
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

/* -- the end of a read -- */

static void answer(struct queue *q, int err, size_t count)
{
    struct queue_reading *r = &q->reading;
    struct queue_entries out = {.at = q->entries, .count = count};

    out.pending_done = err == 0 && r->from == QUEUE_PENDING;
    for (int lane = 0; lane < LANE_N; lane++)
        if (q->lanes[lane].asked && q->lanes[lane].got >= q->lanes[lane].asked)
            out.pending_done = false;
    r->busy = false;
    r->cb(r->ctx, err, err ? NULL : &out);
}

static void on_groups_made(struct queue *q, void *ctx, int err)
{
    (void)ctx;
    if (err)
        answer(q, err, 0);
    else
        send_read(q);
}

/* Redis lost the stream or its group: flushed, or started empty. A read that was blocked meanwhile
 * is told "UNBLOCKED the stream key no longer exists". */
static bool group_is_gone(const redisReply *r)
{
    return queue_reply_is(r, "NOGROUP") || queue_reply_is(r, "UNBLOCKED");
}

static void no_group(struct queue *q)
{
    if (q->reading.again) {
        answer(q, -EIO, 0);
        return;
    }
    q->reading.again = true;
    queue_make_groups(q, on_groups_made, NULL);
}

/* The errors inside an EXEC: some lanes may have been delivered, and those must be handed on. */
static int first_error(struct queue *q, const redisReply *parts, bool *refused)
{
    int err = 0;

    for (size_t i = 0; i < parts->elements && err == 0; i++) {
        *refused = *refused || group_is_gone(parts->element[i]);
        err = queue_reply_err(q, parts->element[i]);
    }
    return err;
}

static void on_parts(struct queue *q, const redisReply *const *parts, size_t count)
{
    struct found f = {0};

    for (size_t i = 0; i < count; i++)
        count_found(parts[i], &f);
    make_room(q, &f);
    f = (struct found){0};
    for (size_t i = 0; i < count; i++)
        take_streams(q, parts[i], &f);
    if (f.entries == 0 && q->reading.from == QUEUE_NEW && q->reading.block_ms &&
        !q->reading.waited) {
        q->reading.waited = true;
        send_read(q);
        return;
    }
    answer(q, 0, f.entries);
}

static void on_single(void *ctx, struct redisReply *reply)
{
    struct queue *q = ctx;
    const redisReply *part = reply;
    int err = queue_reply_err(q, reply);

    if (group_is_gone(reply))
        no_group(q);
    else if (err)
        answer(q, err, 0);
    else
        on_parts(q, &part, 1);
}

static void on_exec(void *ctx, struct redisReply *reply)
{
    struct queue *q = ctx;
    struct found f = {0};
    bool refused = false;
    int err = q->reading.queue_err && reply ? q->reading.queue_err : queue_reply_err(q, reply);

    q->reading.queue_err = 0;
    if (err == 0 && !is_array(reply))
        err = -EIO;
    if (err == 0) {
        err = first_error(q, reply, &refused);
        for (size_t i = 0; i < reply->elements; i++)
            count_found(reply->element[i], &f);
    }
    if (f.entries == 0 && refused)
        no_group(q);
    else if (f.entries == 0 && err)
        answer(q, err, 0);
    else
        on_parts(q, (const redisReply *const *)reply->element, reply->elements);
}

/* A refusal here makes EXEC say EXECABORT, which is no reason. */
static void on_queued(void *ctx, struct redisReply *reply)
{
    struct queue *q = ctx;

    if (reply && q->reading.queue_err == 0)
        q->reading.queue_err = queue_reply_err(q, reply);
}

/* -- sending -- */

static uint64_t smallest_count(const struct queue *q)
{
    uint64_t least = UINT64_MAX;

    for (int lane = 0; lane < LANE_N; lane++)
        if (q->lanes[lane].asked)
            least = min_u64(least, q->lanes[lane].asked);
    return least;
}

/* XREADGROUP over the lanes first .. last that were asked for. */
static void send_lanes(struct queue *q, int first, int last, uint64_t count, uint32_t block_ms,
                       redis_reply_cb *cb)
{
    struct queue_args a;
    struct span argv[16 + 2 * LANE_N];
    size_t n;

    queue_args_init(&a);
    queue_arg_u64(&a, count);
    queue_arg_u64(&a, block_ms);
    for (int lane = 0; lane < LANE_N; lane++)
        queue_arg_id(&a, q->lanes[lane].seen);
    n = 0;
    argv[n++] = SPAN("XREADGROUP");
    argv[n++] = SPAN("GROUP");
    argv[n++] = SPAN("dispatch");
    argv[n++] = SPAN("leader");
    argv[n++] = SPAN("COUNT");
    argv[n++] = span_of(a.bytes + a.at[0].offset, a.at[0].n);
    if (block_ms) {
        argv[n++] = SPAN("BLOCK");
        argv[n++] = span_of(a.bytes + a.at[1].offset, a.at[1].n);
    }
    argv[n++] = SPAN("STREAMS");
    for (int lane = first; lane <= last; lane++)
        if (q->lanes[lane].asked)
            argv[n++] = span_str(q->keys[KEY_JOBS + lane]);
    for (int lane = first; lane <= last; lane++)
        if (q->lanes[lane].asked)
            argv[n++] = q->reading.from == QUEUE_NEW
                            ? SPAN(">")
                            : span_of(a.bytes + a.at[2 + lane].offset, a.at[2 + lane].n);
    redis_command(reader_of(q), n, argv, cb, q);
    queue_args_deinit(&a);
}

static void send_multi(struct queue *q)
{
    struct span multi = SPAN("MULTI"), exec = SPAN("EXEC");

    redis_command(reader_of(q), 1, &multi, on_queued, q);
    for (int lane = 0; lane < LANE_N; lane++)
        if (q->lanes[lane].asked)
            send_lanes(q, lane, lane, q->lanes[lane].asked, 0, on_queued);
    redis_command(reader_of(q), 1, &exec, on_exec, q);
}

static void send_read(struct queue *q)
{
    const struct queue_reading *r = &q->reading;
    uint64_t least = smallest_count(q);
    bool equal = true;

    for (int lane = 0; lane < LANE_N; lane++) {
        q->lanes[lane].got = 0;
        equal = equal && (!q->lanes[lane].asked || q->lanes[lane].asked == least);
    }
    if (!equal && !r->waited) {
        send_multi(q);
        return;
    }
    q->reading.waited = r->from == QUEUE_NEW;
    send_lanes(q, 0, LANE_N - 1, least, r->from == QUEUE_NEW ? r->block_ms : 0, on_single);
}

void queue_read(struct queue *q, enum queue_from from, const uint32_t count[LANE_N],
                uint32_t block_ms, queue_read_cb *cb, void *ctx)
{
    uint64_t total = 0;

    must(!q->reading.busy);
    q->reading = (struct queue_reading){
        .busy = true, .from = from, .block_ms = block_ms, .cb = cb, .ctx = ctx};
    for (int lane = 0; lane < LANE_N; lane++)
        total += q->lanes[lane].asked = count[lane];
    must(total > 0);
    send_read(q);
}

void queue_rewind(struct queue *q)
{
    for (int lane = 0; lane < LANE_N; lane++)
        q->lanes[lane].seen = (struct entry_id){0, 0};
}
