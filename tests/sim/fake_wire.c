/* SPDX-License-Identifier: MIT
 * io/redis/redis_wire.h and redis_lookup.h: what io's own connection sits on, to a node of a fake
 * Cluster. */
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_link.h"
#include "list.h"
#include "redis_lookup.h"
#include "redis_wire.h"

struct redis_wire {
    struct fake_link *link;
    const struct redis_wire_events *events;
    void *ctx;
    struct buf in; /* in.p[from] and what follows has arrived, and is not read */
    size_t from;
    bool over; /* no more events */
};

static void on_up(void *ctx)
{
    struct redis_wire *w = ctx;

    if (!w->over)
        w->events->connected(w->ctx);
}

static void on_down(void *ctx, const char *why)
{
    struct redis_wire *w = ctx;

    if (!w->over)
        w->events->lost(w->ctx, why);
    w->over = true;
}

static void on_bytes(void *ctx, struct span bytes)
{
    struct redis_wire *w = ctx;
    size_t before;

    if (w->over)
        return;
    buf_put(&w->in, bytes);
    do {
        before = w->in.n - w->from;
        w->events->readable(w->ctx);
    } while (!w->over && w->in.n > w->from && w->in.n - w->from < before);
}

int redis_wire_open(struct loop *l, const struct redis_address *a, const struct addrinfo *to,
                    const struct redis_wire_events *events, void *ctx, struct redis_wire **out,
                    struct error *err)
{
    struct redis_wire *w = alloc_zeroed(1, sizeof(*w));

    (void)to, (void)err;
    w->events = events;
    w->ctx = ctx;
    buf_init(&w->in, (size_t)1 << 40);
    w->link = fake_link_new(l, fake_cluster_machine(a->host), on_up, on_down, w);
    *out = w;
    return 0;
}

static void on_closed(void *ctx)
{
    struct redis_wire *w = ctx;

    buf_deinit(&w->in);
    free(w);
}

void redis_wire_free(struct redis_wire *w)
{
    if (!w)
        return;
    w->over = true;
    fake_link_close(w->link, on_closed, w);
}

const char *redis_wire_delay(const struct redis_wire *w)
{
    (void)w;
    return "";
}

/* XREAD ... BLOCK ms STREAMS ... */
static uint32_t block_ms(size_t argc, const struct span *argv)
{
    uint64_t ms = 0;

    for (size_t i = 1; span_is(argv[0], "XREAD") && i + 1 < argc; i++)
        if (span_is(argv[i], "BLOCK"))
            must(span_to_u64(argv[i + 1], &ms) == 0);
    return (uint32_t)ms;
}

void redis_wire_send(struct redis_wire *w, size_t argc, const struct span *argv)
{
    fake_link_bytes(w->link, block_ms(argc, argv), argc, argv, on_bytes, w);
}

/* The number behind the sign that the line begins with. */
static size_t take_number(struct span *text, char sign)
{
    const char *end = memchr(text->p, '\r', text->n);
    uint64_t n = 0;

    must(end && text->p[0] == sign);
    must(span_to_u64(span_of(text->p + 1, (size_t)(end - text->p) - 1), &n) == 0);
    *text = span_of(end + 2, (size_t)(text->p + text->n - end) - 2);
    return n;
}

void redis_wire_send_text(struct redis_wire *w, struct span text)
{
    size_t argc = take_number(&text, '*');
    struct span *argv = alloc_zeroed(argc, sizeof(*argv));

    for (size_t i = 0; i < argc; i++) {
        argv[i].n = take_number(&text, '$');
        argv[i].p = text.p;
        text = span_of(text.p + argv[i].n + 2, text.n - argv[i].n - 2);
    }
    must(text.n == 0);
    redis_wire_send(w, argc, argv);
    free(argv);
}

size_t redis_wire_read(struct redis_wire *w, char *p, size_t room)
{
    size_t n = (size_t)min_u64(w->in.n - w->from, room);

    if (n)
        memcpy(p, w->in.p + w->from, n);
    w->from += n;
    if (w->from == w->in.n) {
        buf_clear(&w->in);
        w->from = 0;
    }
    return n;
}

/* -- lookup -- */

static struct list lookups; /* under way; initialised by the first one */

struct redis_lookup {
    struct list link;
    int instance;
    char *host;
    redis_lookup_cb *cb;
    void *ctx;
    struct event *event;
};

static void forget(struct redis_lookup *k)
{
    list_remove(&k->link);
    engine_cancel(k->event);
    free(k->host);
    free(k);
}

static void on_found(void *ctx)
{
    static const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct redis_lookup k = *(struct redis_lookup *)ctx;
    struct addrinfo *found = NULL;

    ((struct redis_lookup *)ctx)->event = NULL;
    must(getaddrinfo(k.host, NULL, &hints, &found) == 0);
    forget(ctx);
    k.cb(k.ctx, found, NULL);
}

struct redis_lookup *redis_lookup_new(struct loop *l, const char *host, redis_lookup_cb *cb,
                                      void *ctx, const char **why)
{
    struct redis_lookup *k = alloc_zeroed(1, sizeof(*k));

    (void)why;
    *k = (struct redis_lookup){
        .instance = l->instance, .host = alloc_str(host), .cb = cb, .ctx = ctx};
    if (!lookups.next)
        list_init(&lookups);
    list_push_back(&lookups, &k->link);
    k->event = engine_at(engine_now_ns(), l->instance, on_found, k);
    return k;
}

void redis_lookup_cancel(struct redis_lookup *k)
{
    if (k)
        forget(k);
}

void fake_wire_answer_dead(int instance)
{
    if (!lookups.next)
        return;
    list_each_safe(it, next, &lookups) {
        struct redis_lookup k = *list_entry(it, struct redis_lookup, link);

        if (k.instance != instance)
            continue;
        forget(list_entry(it, struct redis_lookup, link));
        k.cb(k.ctx, NULL, "killed");
    }
}
