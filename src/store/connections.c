/* SPDX-License-Identifier: MIT */
#include "connections.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "queue_internal.h"

#define WRITERS_MAX 8u
#define ACCOUNTS_PER_WRITER 16u
#define READERS_MAX 8u
#define ACCOUNTS_PER_READER 4u
#define WATCHERS_SPARE 12u /* for accounts that have become idle just now */
#define ACCOUNTS_PER_WATCHER 64u

static bool should_share(uint32_t accounts, const struct redis_address *a)
{
    return accounts > CONNECTIONS_FEW && !(a && a->cluster);
}

static uint32_t parts(uint32_t accounts, uint32_t per)
{
    return (accounts + per - 1) / per;
}

static uint32_t writers_for(uint32_t accounts)
{
    return (uint32_t)min_u64(parts(accounts, ACCOUNTS_PER_WRITER), WRITERS_MAX);
}

static uint32_t readers_for(uint32_t accounts)
{
    return (uint32_t)min_u64(parts(accounts, ACCOUNTS_PER_READER), READERS_MAX);
}

static uint32_t watchers_for(uint32_t accounts)
{
    return (uint32_t)min_u64(accounts, WATCHERS_SPARE + parts(accounts, ACCOUNTS_PER_WATCHER));
}

uint32_t connections_most(uint32_t accounts, const struct redis_address *a)
{
    if (!should_share(accounts, a))
        return 2 * accounts;
    return writers_for(accounts) + readers_for(accounts) + watchers_for(accounts);
}

void connections_turn_soon(struct connections *c)
{
    if (!c->closing)
        timer_start_at(c->turn, 0);
}

/* -- set-up --
 *
 *   reader, watcher   up ─▶ name ──────────────────────────────┐
 *   writer            up ─▶ name, scripts ─▶ are the lanes OK? ─┴─▶ queue is up */

static void set_name(const struct connections *c, struct redis *r, const char *what,
                     redis_reply_cb *cb, void *ctx)
{
    char *name = alloc_printf("purgeline:%s:%s:%s", c->account, what, c->owner);
    const struct span argv[] = {SPAN("CLIENT"), SPAN("SETNAME"), span_str(name)};

    redis_command(r, array_len(argv), argv, cb, ctx);
    free(name);
}

static void on_writer_named(void *ctx, struct redisReply *reply)
{
    (void)ctx, (void)reply; /* a name is a courtesy */
}

struct script_load {
    struct queue_writer *writer;
    size_t script;
};

/* All scripts at once would make the connection of each account keep a large buffer. */
#define LOADED_AT_ONCE_BYTES 4096

static void load_scripts(struct queue_writer *w, size_t first);

static void scripts_loaded(struct queue_writer *w)
{
    w->ready = true;
    list_each(it, &w->queues)
        queue_writer_ready(list_entry(it, struct queue, writer_link));
}

/* A script that Redis refuses to load is sent whole whenever it is called. */
static void on_script_loaded(void *ctx, struct redisReply *reply)
{
    struct script_load l = *(struct script_load *)ctx;
    struct queue_writer *w = l.writer;

    free(ctx);
    if (!reply)
        return;
    if (!reply_refused(reply) && reply_text(reply).n == 40)
        memcpy(w->sha[l.script], reply_text(reply).p, 41);
    if (l.script + 1 < w->loaded)
        return;
    if (w->loaded < SCRIPT_QUEUE_N)
        load_scripts(w, w->loaded);
    else
        scripts_loaded(w);
}

static void load_scripts(struct queue_writer *w, size_t first)
{
    size_t bytes = 0;

    for (w->loaded = first; w->loaded < SCRIPT_QUEUE_N && bytes < LOADED_AT_ONCE_BYTES;
         w->loaded++) {
        struct span argv[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_str(scripts[w->loaded].text)};
        struct script_load *l = alloc_bytes(sizeof(*l));

        *l = (struct script_load){w, w->loaded};
        bytes += argv[2].n;
        redis_command(w->redis, array_len(argv), argv, on_script_loaded, l);
    }
}

static void on_writer_up(void *ctx)
{
    struct queue_writer *w = ctx;

    w->all->started = true;
    set_name(w->all, w->redis, "writer", on_writer_named, NULL);
    load_scripts(w, 0);
}

static void on_writer_down(void *ctx, const char *why)
{
    struct queue_writer *w = ctx;

    w->all->started = true;
    w->ready = false;
    list_each(it, &w->queues)
        queue_writer_down(list_entry(it, struct queue, writer_link), why);
}

static bool is_watcher(const struct queue_reader *r)
{
    return r->entries != NULL;
}

typedef void reader_news(struct queue *q, const char *why);

static void tell_ready(struct queue *q, const char *why)
{
    (void)why;
    queue_reader_ready(q);
}

static void tell_queues(struct connections *c, reader_news *tell, const char *why)
{
    for (uint32_t i = 0; i < c->writers_count; i++)
        list_each(it, &c->writers[i].queues)
            tell(list_entry(it, struct queue, writer_link), why);
}

/* A reader is only ready now, when no other command is under way on it: all further bytes belong to
 * reads. */
static void on_reader_named(void *ctx, struct redisReply *reply)
{
    struct queue_reader *r = ctx;
    struct connections *c = r->all;

    if (!reply)
        return;
    r->ready = true;
    if (!is_watcher(r) && c->readers_ready++ == 0)
        tell_queues(c, tell_ready, NULL);
    if (c->shared)
        connections_turn_soon(c);
}

static void on_reader_up(void *ctx)
{
    struct queue_reader *r = ctx;

    r->all->started = true;
    set_name(r->all, r->redis, is_watcher(r) ? "watcher" : "reader", on_reader_named, r);
}

/* As long as one reader is left, it reads for all. */
static void on_reader_down(void *ctx, const char *why)
{
    struct queue_reader *r = ctx;
    struct connections *c = r->all;

    c->started = true;
    c->readers_ready -= r->ready && !is_watcher(r);
    r->ready = false;
    if (!is_watcher(r) && c->readers_ready == 0)
        tell_queues(c, queue_reader_down, why);
    if (c->shared)
        connections_turn_soon(c);
}

/* -- opening -- */

static void open_writers(struct connections *c, const struct redis_address *a, uint32_t count)
{
    c->writers = alloc_zeroed(count, sizeof(*c->writers));
    c->writers_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct queue_writer *w = &c->writers[i];

        w->all = c;
        list_init(&w->queues);
        w->redis = redis_new(c->loop, a, on_writer_up, on_writer_down, w);
        w->replicated = replicated_new(w->redis, a ? a->replicas : 0);
    }
}

static void open_readers(struct connections *c, const struct redis_address *a, uint32_t readers,
                         uint32_t watchers)
{
    c->readers_count = readers;
    c->all_readers_count = readers + watchers;
    c->readers = alloc_zeroed(c->all_readers_count, sizeof(*c->readers));
    connections_read_init(c);
    for (uint32_t i = 0; i < c->all_readers_count; i++) {
        c->readers[i].redis = redis_new(c->loop, a, on_reader_up, on_reader_down, &c->readers[i]);
    }
}

static struct connections *make_connections(struct loop *l, const char *account, const char *owner)
{
    struct connections *c = alloc_zeroed(1, sizeof(*c));

    c->loop = l;
    c->account = alloc_str(account);
    c->owner = alloc_str(owner);
    list_init(&c->leaving);
    return c;
}

struct connections *connections_own(struct loop *l, const struct redis_address *a,
                                    const char *account, const char *home, const char *owner)
{
    struct connections *c = make_connections(l, account, owner);
    struct redis_address at = a ? *a : (struct redis_address){0};

    at.home = home;
    open_writers(c, a ? &at : NULL, 1);
    open_readers(c, a ? &at : NULL, 1, 0);
    return c;
}

static void on_turn(void *ctx);

struct connections *connections_new(struct loop *l, const struct redis_address *a,
                                    const char *owner, uint32_t accounts)
{
    struct connections *c;

    if (!should_share(accounts, a))
        return NULL;
    c = make_connections(l, "shared", owner);
    c->shared = true;
    c->turn = timer_new(l, on_turn, c);
    open_writers(c, a, writers_for(accounts));
    open_readers(c, a, readers_for(accounts), watchers_for(accounts));
    return c;
}

void connections_join(struct connections *c, struct queue *q)
{
    must(!c->started);
    q->connections = c;
    q->writer = &c->writers[c->joined++ % c->writers_count];
    list_push_back(&q->writer->queues, &q->writer_link);
    c->users++;
}

/* -- closing -- */

static void free_connections(struct connections *c)
{
    for (uint32_t i = 0; i < c->writers_count; i++)
        replicated_free(c->writers[i].replicated);
    connections_read_deinit(c);
    free(c->writers);
    free(c->readers);
    free(c->account);
    free(c->owner);
    free(c);
}

static void on_writer_closed(void *ctx)
{
    struct queue_writer *w = ctx;
    struct connections *c = w->all;
    struct queue *q = c->last;

    if (--c->open)
        return;
    do /* what its callbacks have begun meanwhile */
        queue_fail_calls(q);
    while (!connections_give_up_read(q) || !list_empty(&q->calls));
    free_connections(c);
    queue_left(q);
}

static void on_reader_closed(void *ctx)
{
    struct queue_reader *r = ctx;
    struct connections *c = r->all;

    r->redis = NULL;
    if (--c->open)
        return;
    c->open = c->writers_count;
    for (uint32_t i = 0; i < c->writers_count; i++)
        redis_close(c->writers[i].redis, on_writer_closed, &c->writers[i]);
}

static void close_all(struct connections *c, struct queue *last)
{
    c->closing = true;
    c->last = last;
    timer_close(c->turn);
    c->open = c->all_readers_count;
    for (uint32_t i = 0; i < c->all_readers_count; i++) {
        c->readers[i].ready = false;
        redis_close(c->readers[i].redis, on_reader_closed, &c->readers[i]);
    }
}

/* What a queue has under way on shared connections cannot be called back, so the queue is told that
 * the outcome is unknown. It stays while a reader still hands out entries to it, and while its
 * callbacks begin something new. */
static void leave(struct queue *q)
{
    struct connections *c = q->connections;
    bool over;

    queue_fail_calls(q);
    over = connections_give_up_read(q);
    if (!list_empty(&q->calls))
        connections_turn_soon(c);
    if (!over || !list_empty(&q->calls))
        return;
    list_remove(&q->leaving_link);
    list_remove(&q->writer_link);
    if (--c->users == 0)
        close_all(c, q);
    else
        queue_left(q);
}

static void on_turn(void *ctx)
{
    struct connections *c = ctx;

    list_each_safe(it, next, &c->leaving)
        leave(list_entry(it, struct queue, leaving_link));
    if (!c->closing)
        connections_read_turn(c);
}

void connections_leave(struct queue *q)
{
    struct connections *c = q->connections;

    if (c->shared) {
        list_push_back(&c->leaving, &q->leaving_link);
        connections_turn_soon(c);
    } else {
        close_all(c, q);
    }
}
