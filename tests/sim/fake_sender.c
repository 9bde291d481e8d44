/* SPDX-License-Identifier: MIT */
#include "fake_sender.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "fault.h"
#include "instance.h"
#include "origin_fake.h"
#include "pages.h"

struct endpoint {
    uint32_t holds, timeout_ms;
    char *api, *token;
};

struct senders {
    int instance;
    bool dead;
    senders_cb *cb;
    void *ctx;
    struct list under_way;
};

/* What exchange_new really makes. */
struct parcel {
    struct exchange x;
    struct senders *senders;
    struct request *request; /* held, once it left */
    struct event *way;       /* it leaves, then its answer comes */
    struct event *timeout;
    enum fault fault;
    enum exchange_error outcome;
    const struct config *config; /* when it was handed over, held */
};

struct fake_wire fake_wire;

uint64_t fake_wire_delay(void)
{
    if (fake_wire.latency_max_ns <= fake_wire.latency_min_ns)
        return fake_wire.latency_min_ns;
    return fake_wire.latency_min_ns +
           rng_below(engine_rng(), fake_wire.latency_max_ns - fake_wire.latency_min_ns);
}

/* -- endpoints and exchanges -- */

struct endpoint *endpoint_new(const struct endpoint_options *o)
{
    struct endpoint *e = alloc_zeroed(1, sizeof(*e));

    e->holds = 1;
    e->timeout_ms = o->timeout_ms;
    e->api = alloc_str(o->api);
    e->token = alloc_str(o->token);
    return e;
}

bool endpoint_same_token(const struct endpoint *a, const struct endpoint *b)
{
    return strcmp(a->token, b->token) == 0;
}

bool endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
    return strcmp(a->api, b->api) == 0 && strcmp(a->token, b->token) == 0;
}

const char *endpoint_fault(const struct endpoint *e)
{
    (void)e;
    return "";
}

struct endpoint *endpoint_hold(struct endpoint *e)
{
    e->holds++;
    return e;
}

void endpoint_drop(struct endpoint *e)
{
    if (!e || --e->holds > 0)
        return;
    free(e->api);
    free(e->token);
    free(e);
}

struct exchange *exchange_new(struct endpoint *e, size_t reply_max)
{
    struct parcel *p = alloc_zeroed(1, sizeof(*p));

    buf_init(&p->x.url, 16384);
    buf_init(&p->x.header, 32768);
    buf_init(&p->x.body, 1024 * 1024);
    buf_init(&p->x.via, 512);
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
    config_drop(container_of(x, struct parcel, x)->config);
    free(container_of(x, struct parcel, x));
}

/* -- the end of an exchange -- */

static void detach(struct parcel *p)
{
    engine_cancel(p->way);
    engine_cancel(p->timeout);
    p->way = p->timeout = NULL;
    if (!p->request)
        return;
    p->request->parcel = NULL;
    request_drop(p->request);
    p->request = NULL;
}

static void deliver(struct parcel *p, enum exchange_error error)
{
    static const char *const words[] = {
        [EXCHANGE_OK] = "",
        [EXCHANGE_UNSENT] = "Couldn't connect to server",
        [EXCHANGE_TIMEOUT] = "Timeout was reached",
        [EXCHANGE_BROKEN] = "Connection reset by peer",
        [EXCHANGE_BLOCKED] = "blocked",
    };
    struct senders *s = p->senders;

    detach(p);
    list_remove(&p->x.link);
    p->x.error = error;
    p->x.done_ns = engine_now_ns();
    snprintf(p->x.error_text, sizeof(p->x.error_text), "%s", words[error]);
    if (p->x.answered)
        p->x.answered(&p->x);
    else
        s->cb(s->ctx, &p->x);
}

static void on_timeout(void *ctx)
{
    struct parcel *p = ctx;

    p->timeout = NULL;
    if (p->request)
        trace("request %" PRIu64 " is not answered in time", p->request->number);
    deliver(p, EXCHANGE_TIMEOUT);
}

static void on_page_timeout(void *ctx)
{
    struct parcel *p = ctx;

    p->timeout = NULL;
    trace("a page does not come in time");
    deliver(p, EXCHANGE_TIMEOUT);
}

static void on_end(void *ctx)
{
    struct parcel *p = ctx;

    p->way = NULL;
    deliver(p, p->outcome);
}

static void end_soon(struct parcel *p, enum exchange_error outcome, uint64_t at_ns)
{
    p->outcome = outcome;
    engine_cancel(p->way);
    p->way = engine_at(at_ns, p->senders->instance, on_end, p);
}

/* -- the way there -- */

static void on_arrival(void *ctx)
{
    struct request *r = ctx;
    enum fault fault = r->fault;

    r->arrived_ns = engine_now_ns();
    fastly_fake_receive(r);
    if (fault == FAULT_KILL_AFTER)
        instance_kill(r->instance);
    request_drop(r);
}

static void leave(struct parcel *p)
{
    struct exchange *x = &p->x;
    struct request *r = request_read(x->method, buf_span(&x->url), buf_span(&x->header),
                                     buf_span(&x->body), x->soft, x->endpoint->token, p->config);

    r->instance = p->senders->instance;
    r->started_ns = x->started_ns;
    r->fault = p->fault;
    r->parcel = p;
    r->holds++;
    p->request = r;
    p->timeout =
        engine_at(x->started_ns + x->endpoint->timeout_ms * NS_PER_MS, r->instance, on_timeout, p);
    engine_at(engine_now_ns() + fake_wire_delay(), ENGINE_NOBODY, on_arrival, r);
}

/* -- an origin's answer -- */

static void on_origin_asked(void *ctx)
{
    struct parcel *p = ctx;
    enum fault fault = p->fault;
    int instance = p->senders->instance;

    p->way = NULL;
    origin_fake.asks++;
    if (!origin_fake.silent && fault != FAULT_SILENT) {
        origin_fake_answer(&p->x);
        end_soon(p, fault == FAULT_LOST_AFTER ? EXCHANGE_BROKEN : EXCHANGE_OK,
                 engine_now_ns() + fake_wire_delay());
    }
    if (fault == FAULT_KILL_AFTER)
        instance_kill(instance);
}

static void ask_origin(struct parcel *p)
{
    uint64_t now_ns = engine_now_ns();
    int instance = p->senders->instance;

    if (origin_fake.refuses) {
        deliver(p, EXCHANGE_UNSENT);
        return;
    }
    p->timeout = engine_at(now_ns + p->x.endpoint->timeout_ms * NS_PER_MS, instance, on_timeout, p);
    p->way = engine_at(now_ns + fake_wire_delay(), instance, on_origin_asked, p);
}

/* A page is served by a POP, not by the API. */
static void fetch_page(struct parcel *p)
{
    struct exchange *x = &p->x;

    must(!x->show_token && x->header.n == 0);
    if (p->fault == FAULT_SILENT || !pages_serve(x)) {
        p->timeout = engine_at(x->started_ns + x->endpoint->timeout_ms * NS_PER_MS,
                               p->senders->instance, on_page_timeout, p);
        return;
    }
    end_soon(p, p->fault == FAULT_LOST_AFTER ? EXCHANGE_BROKEN : EXCHANGE_OK,
             engine_now_ns() + 2 * fake_wire_delay());
    if (p->fault == FAULT_KILL_AFTER)
        instance_kill(p->senders->instance);
}

static void on_departure(void *ctx)
{
    struct parcel *p = ctx;
    uint64_t now_ns = engine_now_ns();

    p->way = NULL;
    p->x.started_ns = now_ns;
    if (now_ns > p->x.start_before_ns || p->fault == FAULT_UNSENT ||
        (fake_wire.refuses && !p->x.look && !p->x.page)) {
        trace("a request of %s is not sent: %s", instance_name(p->senders->instance),
              now_ns > p->x.start_before_ns ? "too late" : "no connection");
        deliver(p, EXCHANGE_UNSENT);
    } else if (p->fault == FAULT_LOST_BEFORE) {
        trace("a request of %s is lost on its way", instance_name(p->senders->instance));
        end_soon(p, EXCHANGE_BROKEN, now_ns + fake_wire_delay());
    } else if (p->x.look) {
        ask_origin(p);
    } else if (p->x.page) {
        fetch_page(p);
    } else {
        leave(p);
    }
}

void senders_send(struct senders *s, struct exchange *x)
{
    struct parcel *p = container_of(x, struct parcel, x);

    p->senders = s;
    config_drop(p->config);
    p->config = config_hold(instance_config(s->instance));
    list_push_back(&s->under_way, &x->link);
    if (s->dead || instance_doomed(s->instance))
        return;
    p->fault = fault_next(IO_FASTLY);
    if (p->fault == FAULT_KILL_BEFORE)
        instance_kill(s->instance);
    else
        p->way = engine_at(engine_now_ns() + fake_wire_delay() / 4, s->instance, on_departure, p);
}

/* -- the way back -- */

/* <node>-<start of its process>-<counter>, as Fastly's; the number of the target is the counter. */
static void put_id(struct buf *b, const struct request *r, size_t i)
{
    buf_put(b, SPAN("\"" FAKE_PURGE_ID));
    buf_put_u64(b, fastly_watch.number ? fastly_watch.number(r, i) : 0);
    buf_putc(b, '"');
}

static void put_key(struct buf *b, struct span key)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] == '"' || key.p[i] == '\\')
            buf_putc(b, '\\');
        buf_putc(b, key.p[i]);
    }
    buf_put(b, SPAN("\": "));
}

static bool is_left_out(const struct answer *a, const struct request *r, size_t i)
{
    return i < a->omit_count || (a->omit[0] && span_is(r->targets->at[i], a->omit));
}

static void write_map(struct buf *b, const struct request *r, const struct answer *a)
{
    bool first = true;

    buf_putc(b, '{');
    for (size_t i = 0; i < r->targets->count; i++) {
        if (is_left_out(a, r, i))
            continue;
        if (!first)
            buf_put(b, SPAN(", "));
        put_key(b, r->targets->at[i]);
        put_id(b, r, i);
        first = false;
    }
    buf_putc(b, '}');
}

/* A purge-all has no id. */
static void write_ok(struct buf *b, const struct request *r)
{
    buf_put(b, SPAN("{\"status\": \"ok\""));
    if (r->kind == TARGET_URL) {
        buf_put(b, SPAN(", \"id\": "));
        put_id(b, r, 0);
    }
    buf_putc(b, '}');
}

static void write_body(struct buf *b, const struct request *r, const struct answer *a)
{
    if (a->garbled)
        buf_put(b, SPAN("<html>welcome</html>"));
    else if (a->status == 200 && r->kind == TARGET_KEY)
        write_map(b, r, a);
    else if (a->status == 200)
        write_ok(b, r);
    else if (a->keys_limit)
        buf_printf(b,
                   "{\"msg\": \"Batch surrogate key request only supports up to %" PRIu32
                   " surrogate keys\"}",
                   a->keys_limit);
    else if (!a->from_site)
        buf_printf(b, "{\"msg\": \"status %d\"}", a->status);
}

static void confirm(struct request *r, const struct answer *a)
{
    if (!a->garbled && !r->unreadable)
        pages_purge(r);
    if (a->garbled || r->unreadable || !fastly_watch.confirmed)
        return;
    if (r->kind == TARGET_ALL)
        fastly_watch.confirmed(r, 0);
    for (size_t i = 0; i < r->targets->count; i++)
        if (r->kind != TARGET_KEY || !is_left_out(a, r, i))
            fastly_watch.confirmed(r, i);
}

static void fill_in(struct exchange *x, const struct request *r, const struct answer *a)
{
    x->status = a->status;
    snprintf(x->retry_after, sizeof(x->retry_after), "%s", a->retry_after);
    if (a->reset_after_s[0]) {
        snprintf(x->rate_remaining, sizeof(x->rate_remaining), "0");
        snprintf(x->rate_reset, sizeof(x->rate_reset), "%llu",
                 (unsigned long long)engine_wall_ms() / 1000 +
                     strtoull(a->reset_after_s, NULL, 10));
    }
    write_body(&x->reply, r, a);
}

void fake_wire_answer(struct request *r, const struct answer *a)
{
    struct parcel *p = r->parcel;
    uint64_t at_ns = engine_now_ns() + fake_wire_delay();

    if (a->how == ANSWER_STATUS && a->status >= 200 && a->status < 300 && p &&
        r->fault != FAULT_LOST_AFTER && r->fault != FAULT_SILENT)
        confirm(r, a);
    if (a->how == ANSWER_STATUS && a->status >= 400 && a->status < 500 && r->targets->count == 1 &&
        fastly_watch.refused)
        fastly_watch.refused(r);
    if (!p || r->fault == FAULT_SILENT || a->how == ANSWER_NEVER)
        return;
    if (a->how == ANSWER_RESET || r->fault == FAULT_LOST_AFTER) {
        end_soon(p, EXCHANGE_BROKEN, at_ns);
        return;
    }
    fill_in(&p->x, r, a);
    end_soon(p, EXCHANGE_OK, at_ns);
}

/* -- from beginning to end -- */

struct senders *fake_senders_new(int instance, senders_cb *cb, void *ctx)
{
    struct senders *s = alloc_zeroed(1, sizeof(*s));

    s->instance = instance;
    s->cb = cb;
    s->ctx = ctx;
    list_init(&s->under_way);
    return s;
}

void fake_senders_bury(struct senders *s)
{
    s->dead = true;
    list_each(it, &s->under_way)
        detach(container_of(list_entry(it, struct exchange, link), struct parcel, x));
}

void fake_senders_answer_dead(struct senders *s)
{
    while (!list_empty(&s->under_way))
        deliver(container_of(list_first(&s->under_way, struct exchange, link), struct parcel, x),
                EXCHANGE_UNSENT);
}

void fake_senders_free(struct senders *s)
{
    list_each(it, &s->under_way)
        must(list_entry(it, struct exchange, link)->answered); /* a question: nobody waits for it */
    fake_senders_answer_dead(s);
    free(s);
}
