/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "list.h"

#define TRACE_LINES 300
#define TRACE_WIDTH 260
#define STUCK_EVENTS 3000000u /* so many without a moment passing: somebody runs in circles */

struct event {
    struct list link; /* held back, or in the store of used ones */
    uint64_t at_ns, seq;
    size_t pos;
    int owner;
    bool held;
    event_cb *cb;
    void *ctx;
};

static struct {
    uint64_t now_ns, seq, still;
    int64_t wall_jump_ms, redis_jump_ms;
    uint64_t wall_max_ms;
    struct rng rng;
    struct event **heap;
    size_t count, room;
    struct list held[ENGINE_OWNERS], unused;
    bool holding[ENGINE_OWNERS];
    int running;
    bool live;
    char failure[512];
    char (*lines)[TRACE_WIDTH];
    size_t lines_count;
} en;

bool trace_detailed;

/* -- the heap -- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void put_at(size_t pos, struct event *e)
{
    en.heap[pos] = e;
    e->pos = pos;
}

static void sift_up(size_t pos, struct event *e)
{
    while (pos > 0 && before(e, en.heap[(pos - 1) / 2])) {
        put_at(pos, en.heap[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    put_at(pos, e);
}

static void sift_down(size_t pos, struct event *e)
{
    for (size_t child; (child = 2 * pos + 1) < en.count; pos = child) {
        if (child + 1 < en.count && before(en.heap[child + 1], en.heap[child]))
            child++;
        if (!before(en.heap[child], e))
            break;
        put_at(pos, en.heap[child]);
    }
    put_at(pos, e);
}

static void insert(struct event *e)
{
    if (en.count == en.room) {
        en.room = en.room ? en.room * 2 : 256;
        en.heap = alloc_grow(en.heap, en.room, sizeof(*en.heap));
    }
    e->seq = en.seq++;
    sift_up(en.count++, e);
}

static void take_out(struct event *e)
{
    struct event *last = en.heap[--en.count];
    size_t pos = e->pos;

    if (last == e)
        return;
    if (pos > 0 && before(last, en.heap[(pos - 1) / 2]))
        sift_up(pos, last);
    else
        sift_down(pos, last);
}

/* -- events -- */

struct event *engine_at(uint64_t at_ns, int owner, event_cb *cb, void *ctx)
{
    struct list *node = list_pop_front(&en.unused);
    struct event *e = node ? list_entry(node, struct event, link) : alloc_bytes(sizeof(*e));

    *e = (struct event){.at_ns = max_u64(at_ns, en.now_ns), .owner = owner, .cb = cb, .ctx = ctx};
    list_init(&e->link);
    insert(e);
    return e;
}

static void recycle(struct event *e)
{
    list_push_back(&en.unused, &e->link);
}

void engine_cancel(struct event *e)
{
    if (!e)
        return;
    if (e->held)
        list_remove(&e->link);
    else
        take_out(e);
    recycle(e);
}

static bool is_held(int owner)
{
    return owner != ENGINE_NOBODY && en.holding[owner];
}

static void run_event(struct event *e)
{
    event_cb *cb = e->cb;
    void *ctx = e->ctx;
    int before_it = en.running;

    en.running = e->owner;
    recycle(e);
    cb(ctx);
    en.running = before_it;
}

bool engine_step(uint64_t until_ns)
{
    struct event *e = en.count ? en.heap[0] : NULL;

    if (!e || e->at_ns > until_ns || en.failure[0])
        return false;
    en.still = e->at_ns > en.now_ns ? 0 : en.still + 1;
    if (en.still > STUCK_EVENTS) {
        engine_fail("time stands still: events cause each other without end");
        return false;
    }
    en.now_ns = e->at_ns;
    en.wall_max_ms = max_u64(en.wall_max_ms, engine_wall_ms());
    take_out(e);
    if (is_held(e->owner)) {
        e->held = true;
        list_push_back(&en.held[e->owner], &e->link);
        return true;
    }
    run_event(e);
    return true;
}

void engine_run(uint64_t until_ns)
{
    while (engine_step(until_ns))
        ;
    if (en.now_ns < until_ns && !en.failure[0])
        en.now_ns = until_ns;
}

uint64_t engine_next_ns(void)
{
    return en.count ? en.heap[0]->at_ns : NEVER;
}

int engine_running(void)
{
    return en.running;
}

void engine_hold(int owner)
{
    en.holding[owner] = true;
}

void engine_release(int owner)
{
    struct list *node;

    en.holding[owner] = false;
    while ((node = list_pop_front(&en.held[owner]))) {
        struct event *e = list_entry(node, struct event, link);

        e->held = false;
        e->at_ns = en.now_ns;
        insert(e);
    }
}

/* -- the world -- */

void engine_begin(uint64_t seed)
{
    memset(&en, 0, sizeof(en));
    en.now_ns = ENGINE_START_NS;
    en.rng.state = seed;
    en.running = ENGINE_NOBODY;
    en.lines = alloc_zeroed(TRACE_LINES, sizeof(*en.lines));
    list_init(&en.unused);
    for (int i = 0; i < ENGINE_OWNERS; i++)
        list_init(&en.held[i]);
    en.wall_max_ms = engine_wall_ms();
}

void engine_settle(void)
{
    while (en.count) {
        struct event *e = en.heap[0];

        take_out(e);
        en.now_ns = max_u64(en.now_ns, e->at_ns);
        must(!is_held(e->owner));
        run_event(e);
    }
}

static void free_events(struct list *events)
{
    struct list *node;

    while ((node = list_pop_front(events)))
        free(list_entry(node, struct event, link));
}

void engine_end(void)
{
    for (size_t i = 0; i < en.count; i++)
        free(en.heap[i]);
    free(en.heap);
    free_events(&en.unused);
    for (int i = 0; i < ENGINE_OWNERS; i++)
        free_events(&en.held[i]);
    free(en.lines);
    en.heap = NULL;
    en.lines = NULL;
    en.count = 0;
}

uint64_t engine_now_ns(void)
{
    return en.now_ns;
}

uint64_t engine_since_start_ns(void)
{
    return en.now_ns - ENGINE_START_NS;
}

static uint64_t true_ms(void)
{
    return ENGINE_START_MS + engine_since_start_ns() / NS_PER_MS;
}

uint64_t engine_redis_ms(void)
{
    return true_ms() + (uint64_t)en.redis_jump_ms;
}

uint64_t engine_wall_ms(void)
{
    return true_ms() + (uint64_t)en.wall_jump_ms;
}

uint64_t engine_wall_max_ms(void)
{
    return en.wall_max_ms;
}

void engine_jump_wall(int64_t ms)
{
    en.wall_jump_ms += ms;
    en.wall_max_ms = max_u64(en.wall_max_ms, engine_wall_ms());
}

void engine_jump_redis(int64_t ms)
{
    en.redis_jump_ms += ms;
}

struct rng *engine_rng(void)
{
    return &en.rng;
}

/* -- the seam: base's clock -- */

uint64_t clock_mono_ns(void)
{
    return en.now_ns;
}

uint64_t clock_wall_ms(void)
{
    return engine_wall_ms();
}

struct now clock_now(void)
{
    return (struct now){clock_mono_ns(), clock_wall_ms()};
}

/* -- the trace -- */

const char *engine_time_text(uint64_t since_start_ns)
{
    static char text[40];

    snprintf(text, sizeof(text), "%llu.%06llus", (unsigned long long)(since_start_ns / NS_PER_S),
             (unsigned long long)(since_start_ns % NS_PER_S / 1000));
    return text;
}

void trace(const char *fmt, ...)
{
    char *line;
    va_list ap;
    int n;

    if (!en.lines)
        return;
    line = en.lines[en.lines_count++ % TRACE_LINES];
    n = snprintf(line, TRACE_WIDTH, "%14s  ", engine_time_text(engine_since_start_ns()));
    va_start(ap, fmt);
    vsnprintf(line + n, TRACE_WIDTH - (size_t)n, fmt, ap);
    va_end(ap);
    if (en.live)
        fprintf(stderr, "%s\n", line);
}

void trace_dump(void)
{
    size_t first = en.lines_count > TRACE_LINES ? en.lines_count - TRACE_LINES : 0;

    for (size_t i = first; en.lines && i < en.lines_count; i++)
        fprintf(stderr, "  %s\n", en.lines[i % TRACE_LINES]);
}

void trace_live(bool on)
{
    en.live = on;
}

void engine_fail(const char *fmt, ...)
{
    va_list ap;

    if (en.failure[0])
        return;
    va_start(ap, fmt);
    vsnprintf(en.failure, sizeof(en.failure), fmt, ap);
    va_end(ap);
    trace("FAILED: %s", en.failure);
}

const char *engine_failure(void)
{
    return en.failure[0] ? en.failure : NULL;
}
