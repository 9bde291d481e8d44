/* SPDX-License-Identifier: MIT */
#include "sender.h"

#include <curl/curl.h>
#include <uv.h>

#include <stdlib.h>

#include "alloc.h"
#include "endpoint.h"
#include "mailbox.h"
#include "sender_loop.h"

#define URL_MAX_BYTES 16384
#define HEADER_MAX_BYTES 32768
#define BODY_MAX_BYTES (1024 * 1024)
#define VIA_MAX_BYTES 512

/* A few exchanges in flight are best sent over one connection, with fewer wake-ups and handshakes.
 * From this number on, another loop is used as well. */
#define PACK 32
/* Gathered exchanges are handed to the loop when there are this many, or at the end of the owner's
 * turn. */
#define GATHER 16

struct outlet {
    struct sender_loop *loop;
    struct list gathered;
    uint32_t gathered_count;
    uint32_t in_flight; /* sent but not yet returned, including gathered exchanges */
    struct list ended;  /* posted back when the loop has ended */
};

struct senders {
    struct mailbox *replies;
    struct loop *loop;
    struct loop_last last; /* hands over gathered exchanges */
    struct timer *gone;    /* ends it, outside of the callbacks of others */
    struct outlet *out;
    uint32_t count, running;
    senders_cb *cb;
    void *ctx;
    loop_cb *closed; /* not NULL: closing */
    void *closed_ctx;
};

/* What exchange_new really allocates: an exchange and the number of the outlet that sends it. */
struct outlet_exchange {
    struct exchange x;
    uint32_t out;
};

struct exchange *exchange_new(struct endpoint *e, size_t reply_max)
{
    struct outlet_exchange *p = alloc_zeroed(1, sizeof(*p));

    buf_init(&p->x.url, URL_MAX_BYTES);
    buf_init(&p->x.header, HEADER_MAX_BYTES);
    buf_init(&p->x.body, BODY_MAX_BYTES);
    buf_init(&p->x.via, VIA_MAX_BYTES);
    buf_init(&p->x.reply, reply_max);
    exchange_reset(&p->x);
    p->x.endpoint = endpoint_hold(e);
    return &p->x;
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    buf_deinit(&x->url);
    buf_deinit(&x->header);
    buf_deinit(&x->body);
    buf_deinit(&x->via);
    buf_deinit(&x->reply);
    endpoint_drop(x->endpoint);
    free(container_of(x, struct outlet_exchange, x));
}

static void hand_over(struct outlet *out)
{
    out->gathered_count = 0;
    sender_loop_post(out->loop, &out->gathered);
}

static void hand_over_all(struct senders *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        hand_over(&s->out[i]);
}

static void on_last(void *ctx)
{
    hand_over_all(ctx);
}

static uint32_t choose(const struct senders *s)
{
    uint32_t best = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        if (s->out[i].in_flight < PACK)
            return i;
        if (s->out[i].in_flight < s->out[best].in_flight)
            best = i;
    }
    return best;
}

void senders_send(struct senders *s, struct exchange *x)
{
    struct outlet_exchange *p = container_of(x, struct outlet_exchange, x);
    struct outlet *out;

    must(!s->closed);
    p->out = choose(s);
    out = &s->out[p->out];
    out->in_flight++;
    list_push_back(&out->gathered, &x->link);
    if (++out->gathered_count >= GATHER)
        hand_over(out);
    else
        loop_before_sleep(s->loop, &s->last);
}

static void on_gone(void *s_ctx)
{
    struct senders *s = s_ctx;
    loop_cb *closed = s->closed;
    void *ctx = s->closed_ctx;

    timer_close(s->gone);
    list_remove(&s->last.link);
    free(s->out);
    free(s);
    closed(ctx);
}

static void on_ended(struct senders *s, struct outlet *out)
{
    must(out->in_flight == 0);
    sender_loop_free(out->loop);
    if (--s->running > 0)
        return;
    mailbox_close(s->replies);
    timer_start_at(s->gone, 0);
}

static struct outlet *ended_by(struct senders *s, const struct list *node)
{
    for (uint32_t i = 0; s->closed && i < s->count; i++)
        if (node == &s->out[i].ended)
            return &s->out[i];
    return NULL;
}

static void on_replies(void *ctx, struct list *posted)
{
    struct senders *s = ctx;
    struct list *node;

    while ((node = list_pop_front(posted))) {
        struct outlet *ended = ended_by(s, node);
        struct outlet_exchange *p = container_of(node, struct outlet_exchange, x.link);

        if (ended) {
            on_ended(s, ended);
            continue;
        }
        s->out[p->out].in_flight--;
        if (p->x.answered)
            p->x.answered(&p->x);
        else
            s->cb(s->ctx, &p->x);
    }
}

static void init_curl(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

    must(code == CURLE_OK);
}

struct senders *senders_new(struct loop *l, const struct senders_options *o, senders_cb *cb,
                            void *ctx)
{
    static uv_once_t once = UV_ONCE_INIT;
    struct senders *s = alloc_zeroed(1, sizeof(*s));

    must(o->threads >= 1 && o->max_connections >= 1 && o->max_streams >= 1);
    uv_once(&once, init_curl);
    s->cb = cb;
    s->ctx = ctx;
    s->count = s->running = o->threads;
    s->replies = mailbox_new(l, on_replies, s);
    s->gone = timer_new(l, on_gone, s);
    s->loop = l;
    s->last = (struct loop_last){.cb = on_last, .ctx = s};
    list_init(&s->last.link);
    s->out = alloc_zeroed(s->count, sizeof(*s->out));
    for (uint32_t i = 0; i < s->count; i++) {
        list_init(&s->out[i].gathered);
        list_init(&s->out[i].ended);
        s->out[i].loop = sender_loop_new(i, o, s->replies);
    }
    return s;
}

void senders_close(struct senders *s, loop_cb *done, void *ctx)
{
    must(!s->closed);
    hand_over_all(s);
    s->closed = done;
    s->closed_ctx = ctx;
    for (uint32_t i = 0; i < s->count; i++)
        sender_loop_stop(s->out[i].loop, &s->out[i].ended);
}
