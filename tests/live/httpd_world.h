/* SPDX-License-Identifier: MIT
 * The HTTP server without the rest of the daemon, in the test's own thread, with a record of its
 * requests. Its response depends on the target of the request. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "httpd.h"
#include "rawhttp.h"

#define HOST "Host: x\r\n"
#define SEEN_MAX 256
#define ROOM_BYTES ((uint64_t)64 * 1024 * 1024)
#define BODY_MAX ((uint64_t)64 * 1024)

/* The record of a request, kept after the request is over. */
struct seen {
    struct visit *visit; /* NULL: over */
    char target[128];
    size_t body_bytes;
    unsigned parts, wholes, lates, gones;
    struct buf streamed;
    struct quota_bill bill;
};

struct world {
    struct quota room; /* for all bodies; each request counts as a separate party */
    struct loop *loop;
    struct httpd *httpd;
    unsigned port;
    struct seen seen[SEEN_MAX];
    size_t seen_count;
    size_t take;       /* bytes of each part to consume; 0: all */
    bool goes_on;      /* call visit_continue within the callback for the part */
    uint32_t patience; /* of each request, unless it is 0 */
    bool closed;
};

/* -- callbacks of the server: they depend on the target -- */

static inline void answer_text(struct visit *v, int status, const char *text)
{
    struct answer a = {.status = status, .type = "text/plain", .file = -1};

    a.body = alloc_str(text);
    a.body_bytes = strlen(text);
    visit_answer(v, &a);
}

static inline bool asks(const struct visit *v, const char *prefix)
{
    return span_starts_nocase(visit_target(v), prefix);
}

static inline void on_head(void *ctx, struct visit *v)
{
    struct world *w = ctx;
    struct seen *s = &w->seen[w->seen_count++];

    must(w->seen_count < SEEN_MAX);
    s->visit = v;
    snprintf(s->target, sizeof(s->target), "%.*s", (int)visit_target(v).n, visit_target(v).p);
    buf_init(&s->streamed, SIZE_MAX);
    visit_set_ctx(v, s);
    quota_bill_open(&w->room, s->target, &s->bill);
    visit_bill(v, &s->bill);
    if (w->patience)
        visit_set_patience(v, w->patience);
    if (asks(v, "/known"))
        visit_prove(v);
    if (asks(v, "/refuse"))
        answer_text(v, 401, "no");
    else if (asks(v, "/stream"))
        visit_stream(v);
    else if (asks(v, "/little"))
        visit_collect(v, 10);
}

static inline size_t on_part(void *ctx, struct visit *v, struct span part)
{
    struct world *w = ctx;
    struct seen *s = visit_ctx(v);
    size_t n = w->take && w->take < part.n ? w->take : part.n;

    s->parts++;
    buf_put(&s->streamed, span_of(part.p, n));
    if (asks(v, "/stream/enough") && s->streamed.n > 1000 && !visit_answered(v))
        answer_text(v, 422, "enough");
    if (w->goes_on && n < part.n)
        visit_continue(v);
    return n;
}

static inline void answer_echo(struct visit *v)
{
    struct buf text;
    struct answer a = {.status = 200, .type = "text/plain", .file = -1};

    buf_init(&text, SIZE_MAX);
    buf_put(&text, visit_method(v));
    buf_putc(&text, ' ');
    buf_put(&text, visit_target(v));
    buf_putc(&text, ' ');
    buf_put(&text, visit_body(v));
    a.body_bytes = text.n;
    a.body = buf_take(&text);
    visit_answer(v, &a);
}

static inline void answer_file(struct visit *v)
{
    struct answer a = {.status = 200, .type = "text/plain", .body_bytes = 11};
    char path[] = "/tmp/purgeline-file-XXXXXX";

    a.file = mkstemp(path);
    must(a.file >= 0 && unlink(path) == 0);
    must(write(a.file, "hello, file", 11) == 11 && lseek(a.file, 0, SEEK_SET) == 0);
    visit_answer(v, &a);
}

/* An answer that is larger than the buffer of any socket. */
static inline void answer_long(struct visit *v)
{
    struct answer a = {.status = 200, .file = -1, .body_bytes = (size_t)64 * 1024 * 1024};

    a.body = alloc_zeroed(a.body_bytes, 1);
    visit_answer(v, &a);
}

static inline void on_whole(void *ctx, struct visit *v)
{
    struct seen *s = visit_ctx(v);

    (void)ctx;
    s->wholes++;
    s->body_bytes = visit_body(v).n;
    if (asks(v, "/later"))
        return;
    if (asks(v, "/file"))
        answer_file(v);
    else if (asks(v, "/long"))
        answer_long(v);
    else
        answer_echo(v);
}

static inline void on_late(void *ctx, struct visit *v)
{
    struct seen *s = visit_ctx(v);

    (void)ctx;
    s->lates++;
    answer_text(v, 503, "late");
}

static inline void on_gone(void *ctx, struct visit *v)
{
    struct seen *s = visit_ctx(v);

    (void)ctx;
    s->gones++;
    s->visit = NULL;
    assert_int_equal(s->bill.bytes, 0);
    quota_bill_close(&s->bill);
}

static const struct httpd_calls calls = {on_head, on_part, on_whole, on_late, on_gone, NULL};

/* -- opening and closing -- */

static inline struct httpd_options options(struct world *w)
{
    return (struct httpd_options){.listen = "127.0.0.1:0",
                                  .connections = 64,
                                  .idle_s = 60,
                                  .request_s = 60,
                                  .body_max_bytes = BODY_MAX,
                                  .patience_ms = 30000,
                                  .calls = &calls,
                                  .ctx = w};
}

static inline void open_world(struct world *w, const struct httpd_options *o)
{
    struct error err;

    w->loop = loop_new();
    quota_init(&w->room, ROOM_BYTES);
    w->httpd = httpd_new(w->loop, o, &err);
    if (!w->httpd)
        fail_msg("%s", err.text);
    w->port = (unsigned)atoi(strrchr(httpd_address(w->httpd), ':') + 1);
}

static inline struct world *plain_world(void)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct httpd_options o = options(w);

    open_world(w, &o);
    return w;
}

/* Opens a world with one changed option. */
#define SPECIAL_WORLD(w, field, value)                                                             \
    struct world *w = alloc_zeroed(1, sizeof(*w));                                                 \
    struct httpd_options o_ = options(w);                                                          \
                                                                                                   \
    o_.field = (value);                                                                            \
    open_world(w, &o_)

static inline void pump(void *ctx)
{
    struct world *w = ctx;

    uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
}

#define pump_until(w, condition)                                                                   \
    do {                                                                                           \
        struct await a_ = await_begin(#condition, -1, AWAIT_PATIENCE_MS);                          \
                                                                                                   \
        while (!(condition)) {                                                                     \
            pump(w);                                                                               \
            if (clock_mono_ns() > a_.until_ns)                                                     \
                fail_msg("waited in vain for: %s", a_.what);                                       \
        }                                                                                          \
    } while (0)

static inline void on_closed(void *ctx)
{
    struct world *w = ctx;

    w->closed = true;
}

static inline void free_world(struct world *w)
{
    loop_run(w->loop);
    loop_free(w->loop);
    for (size_t i = 0; i < w->seen_count; i++) {
        assert_int_equal(w->seen[i].gones, 1);
        buf_deinit(&w->seen[i].streamed);
    }
    quota_deinit(&w->room);
    free(w);
}

static inline void close_world(struct world *w)
{
    httpd_close(w->httpd, on_closed, w);
    pump_until(w, w->closed);
    free_world(w);
}

static inline void visit_world_from(struct world *w, const char *source, struct rawhttp *r)
{
    rawhttp_open_from(r, source, w->port);
    r->pump = pump;
    r->pump_ctx = w;
}

static inline void visit_world(struct world *w, struct rawhttp *r)
{
    visit_world_from(w, "127.0.0.1", r);
}

static inline void assert_answer(struct rawhttp *r, int status, const char *body)
{
    struct rawhttp_answer a = rawhttp_await(r);

    assert_int_equal(a.status, status);
    assert_int_equal(a.body.n, strlen(body));
    assert_memory_equal(a.body.p, body, a.body.n);
}

static inline void fill(struct rawhttp *r, size_t n)
{
    char *text = alloc_bytes(n);

    memset(text, 'x', n);
    rawhttp_send(r, text, n);
    free(text);
}
