/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "glance.h"
#include "thread.h"

struct fetching {
    char *url;
    uint32_t timeout_ms;
    page_cb *cb;
    void *ctx;
    struct page page;
};

/* On a thread of the pool. */
static void fetch_page(void *ctx)
{
    struct fetching *f = ctx;
    struct glancer *glancer = glancer_new(f->url, GLANCE_STAY, f->timeout_ms);
    struct glance reply;
    struct error err;

    f->page.began_ns = clock_mono_ns();
    if (glance(glancer, &reply, &err) == 0) {
        buf_put(&f->page.head, buf_span(&reply.head));
        glance_deinit(&reply);
    } else {
        snprintf(f->page.why, sizeof(f->page.why), "%.*s", (int)sizeof(f->page.why) - 1, err.text);
    }
    f->page.ended_ns = clock_mono_ns();
    glancer_free(glancer);
}

static void on_fetched(void *ctx)
{
    struct fetching *f = ctx;

    f->cb(f->ctx, &f->page);
    buf_deinit(&f->page.head);
    free(f->url);
    free(f);
}

void page_fetch(struct loop *l, const char *url, uint32_t timeout_ms, page_cb *cb, void *ctx)
{
    struct fetching *f = alloc_zeroed(1, sizeof(*f));

    f->url = alloc_str(url);
    f->timeout_ms = timeout_ms;
    f->cb = cb;
    f->ctx = ctx;
    buf_init(&f->page.head, GLANCE_HEAD_MAX_BYTES);
    thread_work(l, fetch_page, on_fetched, f);
}
