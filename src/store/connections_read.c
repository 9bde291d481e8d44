/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "queue_internal.h"

#define WATCHED_MAX 64u
/* All watchers return when the monotonic clock reaches a multiple of this, so that what they watch
 * can then be watched by fewer. */
#define RETURN_EVERY_MS 2000u
/* The same while few watchers are free: those who become idle then wait this long, at most, until
 * they are watched. */
#define RETURN_SOON_EVERY_MS 20u

/* -- places -- */

/* Leaves the list or the reader, and the heap. */
static void move_to(struct queue *q, enum queue_place place)
{
    list_remove(&q->place_link);
    heap_remove(&q->connections->waiting, &q->wait_until);
    q->connections->watched -= q->place == PLACE_WATCHED;
    q->place = place;
}

static void enqueue(struct queue *q)
{
    move_to(q, PLACE_QUEUED);
    list_push_back(&q->connections->queued, &q->place_link);
}

/* Waits for new entries until q->read_until_ns. */
static void await_entries(struct queue *q)
{
    struct connections *c = q->connections;

    heap_insert(&c->waiting, &q->wait_until, q->read_until_ns);
    if (heap_min(&c->waiting) == &q->wait_until)
        timer_start_at(c->due, q->read_until_ns);
}

static void unwatch(struct queue *q)
{
    move_to(q, PLACE_UNWATCHED);
    list_push_back(&q->connections->unwatched, &q->place_link);
    await_entries(q);
    connections_turn_soon(q->connections);
}

static void end_read(struct queue *q, int err)
{
    move_to(q, PLACE_NONE);
    if (q->reading.busy)
        queue_finish_read(q, err);
}

/* -- readers -- */

static void serve_readers(struct connections *c)
{
    for (uint32_t i = 0; i < c->readers_count && !list_empty(&c->queued); i++) {
        struct queue_reader *r = &c->readers[i];
        struct queue *q = list_first(&c->queued, struct queue, place_link);

        if (!r->ready || r->queue)
            continue;
        move_to(q, PLACE_UNDER_WAY);
        r->queue = q;
        queue_send_read(q, r->redis, 0);
    }
}

static bool watches_the_same(const struct queue *q)
{
    for (int lane = 0; lane < LANE_N; lane++)
        if (q->watched[lane] != q->reading.how.lanes[lane])
            return false;
    return q->place == PLACE_WATCHED;
}

void connections_read(struct queue *q)
{
    struct connections *c = q->connections;
    struct redis *r = c->readers[0].redis;

    if (!c->shared) { /* once the reader is closed, the read fails on the closing writer */
        queue_send_read(q, r ? r : q->writer->redis, q->reading.how.block_ms);
        return;
    }
    q->read_until_ns = clock_mono_ns() + q->reading.how.block_ms * NS_PER_MS;
    if (watches_the_same(q)) {
        await_entries(q);
        return;
    }
    enqueue(q);
    if (!q->closed)
        serve_readers(c);
    if (q->place == PLACE_QUEUED) /* perhaps because no reader is ready */
        connections_turn_soon(c);
}

static void free_reader_of(struct queue *q)
{
    struct connections *c = q->connections;

    for (uint32_t i = 0; i < c->readers_count; i++)
        if (c->readers[i].queue == q)
            c->readers[i].queue = NULL;
}

bool connections_read_ended(struct queue *q, int err, bool nothing)
{
    struct connections *c = q->connections;

    if (!c->shared)
        return false;
    free_reader_of(q);
    move_to(q, PLACE_NONE);
    connections_turn_soon(c);
    if (err != -ENOTCONN) /* otherwise the reader may be lost */
        serve_readers(c);
    if (err || !nothing || q->closed || clock_mono_ns() >= q->read_until_ns)
        return false;
    unwatch(q);
    return true;
}

void connections_rewound(struct queue *q)
{
    if (q->place != PLACE_UNWATCHED && q->place != PLACE_WATCHED)
        return;
    if (!q->reading.busy) {
        move_to(q, PLACE_NONE);
        return;
    }
    enqueue(q);
    connections_turn_soon(q->connections);
}

bool connections_give_up_read(struct queue *q)
{
    if (q->place == PLACE_UNDER_WAY)
        return false;
    end_read(q, -ENOTCONN);
    if (q->reading.busy)
        connections_turn_soon(q->connections);
    return !q->reading.busy;
}

static void on_time_over(void *ctx)
{
    struct connections *c = ctx;
    uint64_t now_ns = clock_mono_ns();
    struct heap_node *first;

    while ((first = heap_min(&c->waiting)) && first->key <= now_ns) {
        struct queue *q = container_of(first, struct queue, wait_until);

        if (q->place == PLACE_UNWATCHED)
            move_to(q, PLACE_NONE);
        heap_remove(&c->waiting, first);
        queue_finish_read(q, 0);
    }
    if (first)
        timer_start_at(c->due, first->key);
}

/* -- watchers -- */

static bool finds(const struct queue *q, struct span key)
{
    for (int lane = 0; lane < LANE_N; lane++)
        if (q->watched[lane] && span_is(key, q->keys[KEY_JOBS + lane]))
            return true;
    return false;
}

/* A queue that does not want to read now asks a reader when it does. */
static bool on_new_entries(void *ctx, struct span key, uint64_t entries)
{
    struct queue_reader *w = ctx;

    (void)entries;
    list_each(it, &w->watched) {
        struct queue *q = list_entry(it, struct queue, place_link);

        if (!finds(q, key))
            continue;
        if (q->reading.busy)
            enqueue(q);
        else
            move_to(q, PLACE_NONE);
        break;
    }
    return false;
}

static bool no_room(void *ctx, uint64_t bytes)
{
    (void)ctx, (void)bytes;
    return false;
}

static bool skip_entry(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                       uint64_t bytes, bool oversized)
{
    (void)ctx, (void)id, (void)fields, (void)fields_count, (void)bytes, (void)oversized;
    return false;
}

static char *watch_room(void *ctx, size_t *n)
{
    return redis_entries_room(((struct queue_reader *)ctx)->entries, n);
}

static int watch_took(void *ctx, size_t n)
{
    return redis_entries_took(((struct queue_reader *)ctx)->entries, n);
}

static const char *watch_refusal(void *ctx)
{
    return redis_entries_error(((struct queue_reader *)ctx)->entries);
}

/* If Redis refuses to watch one of the lanes, it refuses the whole command. Then each queue asks a
 * reader, and only the one whose lane it is gets an error. */
static void on_watched(void *ctx, int err)
{
    struct queue_reader *w = ctx;
    bool refused = err == 0 && redis_entries_error(w->entries);
    struct list all, *node;

    redis_entries_end(w->entries);
    w->watches = false;
    list_init(&all);
    list_splice_back(&all, &w->watched);
    while ((node = list_pop_front(&all))) {
        struct queue *q = list_entry(node, struct queue, place_link);

        if (!q->reading.busy)
            move_to(q, PLACE_NONE);
        else if (refused)
            enqueue(q);
        else
            unwatch(q);
    }
    serve_readers(w->all);
    connections_turn_soon(w->all);
}

static uint32_t count_free_watchers(const struct connections *c)
{
    uint32_t n = 0;

    for (uint32_t i = c->readers_count; i < c->all_readers_count; i++)
        n += c->readers[i].ready && !c->readers[i].watches;
    return n;
}

static uint32_t watchers_of(const struct connections *c)
{
    return c->all_readers_count - c->readers_count;
}

/* How long the watcher may wait; never 0, which would be for ever. */
static uint32_t watch_ms(const struct connections *c, uint32_t count)
{
    uint32_t left = count_free_watchers(c);
    bool few_left = 4 * left < watchers_of(c) && left < c->users - c->watched;
    uint32_t every_ms =
        few_left && count < WATCHED_MAX / 2 ? RETURN_SOON_EVERY_MS : RETURN_EVERY_MS;

    return every_ms - (uint32_t)(clock_mono_ns() / NS_PER_MS % every_ms);
}

/* Moves queues to the watcher, and lists their lanes. Returns the number of queues. */
static uint32_t take_unwatched(struct queue_reader *w, struct span *keys, size_t *keys_count,
                               struct queue_args *ids)
{
    struct list *node;
    uint32_t n = 0;

    while (n < WATCHED_MAX && (node = list_pop_front(&w->all->unwatched))) {
        struct queue *q = list_entry(node, struct queue, place_link);

        q->place = PLACE_WATCHED;
        q->connections->watched++;
        list_push_back(&w->watched, node);
        n++;
        for (int lane = 0; lane < LANE_N; lane++) {
            q->watched[lane] = q->reading.how.lanes[lane];
            if (!q->watched[lane])
                continue;
            keys[(*keys_count)++] = span_str(q->keys[KEY_JOBS + lane]);
            queue_arg_id(ids, q->lanes[lane].seen);
        }
    }
    return n;
}

#define WATCH_WORDS 6

static void begin_watch(struct queue_reader *w)
{
    static const struct redis_sink sink = {watch_room, watch_took, watch_refusal, on_watched};
    struct span *argv = alloc_bytes((WATCH_WORDS + 2 * LANE_N * WATCHED_MAX) * sizeof(*argv));
    struct queue_args ids;
    size_t lanes = 0;
    char ms[12];
    uint32_t block_ms;

    queue_args_init(&ids);
    w->watches = true;
    block_ms = watch_ms(w->all, take_unwatched(w, argv + WATCH_WORDS, &lanes, &ids));
    snprintf(ms, sizeof(ms), "%u", block_ms);
    argv[0] = SPAN("XREAD");
    argv[1] = SPAN("COUNT");
    argv[2] = SPAN("1");
    argv[3] = SPAN("BLOCK");
    argv[4] = span_str(ms);
    argv[5] = SPAN("STREAMS");
    for (size_t i = 0; i < lanes; i++)
        argv[WATCH_WORDS + lanes + i] = queue_arg_at(&ids, i);
    redis_entries_begin(w->entries, 0);
    redis_stream(w->redis, block_ms, WATCH_WORDS + 2 * lanes, argv, &sink, w);
    queue_args_deinit(&ids);
    free(argv);
}

static void serve_watchers(struct connections *c)
{
    for (uint32_t i = c->readers_count; i < c->all_readers_count && !list_empty(&c->unwatched);
         i++) {
        if (c->readers[i].ready && !c->readers[i].watches)
            begin_watch(&c->readers[i]);
    }
}

/* -- */

static void fail_list(struct list *queues)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, queues);
    while ((node = list_pop_front(&now)))
        end_read(list_entry(node, struct queue, place_link), -ENOTCONN);
}

void connections_read_turn(struct connections *c)
{
    if (c->readers_ready == 0) {
        fail_list(&c->queued);
        fail_list(&c->unwatched);
        for (uint32_t i = c->readers_count; i < c->all_readers_count; i++)
            fail_list(&c->readers[i].watched);
        return;
    }
    serve_readers(c);
    serve_watchers(c);
}

void connections_read_init(struct connections *c)
{
    static const struct redis_entries_sink nothing = {on_new_entries, no_room, skip_entry};

    list_init(&c->queued);
    list_init(&c->unwatched);
    heap_init(&c->waiting);
    if (c->shared)
        c->due = timer_new(c->loop, on_time_over, c);
    for (uint32_t i = 0; i < c->all_readers_count; i++) {
        struct queue_reader *r = &c->readers[i];

        r->all = c;
        list_init(&r->watched);
        if (i >= c->readers_count)
            r->entries = redis_entries_new(&nothing, r);
    }
}

void connections_read_deinit(struct connections *c)
{
    timer_close(c->due);
    heap_deinit(&c->waiting);
    for (uint32_t i = 0; i < c->all_readers_count; i++)
        redis_entries_free(c->readers[i].entries);
}
