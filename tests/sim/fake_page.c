/* SPDX-License-Identifier: MIT
 * io/fastly/page.h: the pages of canaries, as the nearest POP serves them. */
#include "fake_page.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_loop.h"
#include "fake_sender.h"
#include "fault.h"
#include "instance.h"
#include "page.h"
#include "pages.h"

struct fetch {
    struct list link;
    int instance;
    struct event *end; /* NULL: its process is about to die */
    page_cb *cb;
    void *ctx;
    struct page page;
};

static struct list fetches;

void fake_page_begin(void)
{
    list_init(&fetches);
}

static void end(struct fetch *f)
{
    list_remove(&f->link);
    f->page.ended_ns = engine_now_ns();
    if (*f->page.why)
        f->page.head.n = 0;
    f->cb(f->ctx, &f->page);
    buf_deinit(&f->page.head);
    free(f);
}

static void on_end(void *ctx)
{
    struct fetch *f = ctx;

    f->end = NULL;
    end(f);
}

static uint64_t serve(struct fetch *f, const char *url, uint32_t timeout_ms, enum fault fault)
{
    uint64_t way_ns = 2 * fake_wire_delay();

    if (fault == FAULT_UNSENT || fault == FAULT_LOST_BEFORE) {
        snprintf(f->page.why, sizeof(f->page.why), "Couldn't connect to server");
        return way_ns;
    }
    if (!pages_visit(span_str(url), &f->page.head) || fault == FAULT_SILENT) {
        snprintf(f->page.why, sizeof(f->page.why), "Timeout was reached");
        return timeout_ms * NS_PER_MS;
    }
    if (fault == FAULT_LOST_AFTER)
        snprintf(f->page.why, sizeof(f->page.why), "Connection reset by peer");
    return way_ns;
}

void page_fetch(struct loop *l, const char *url, uint32_t timeout_ms, page_cb *cb, void *ctx)
{
    struct fetch *f = alloc_zeroed(1, sizeof(*f));
    enum fault fault;
    uint64_t ns;

    f->instance = l->instance;
    f->cb = cb;
    f->ctx = ctx;
    f->page.began_ns = engine_now_ns();
    buf_init(&f->page.head, 4096);
    list_push_back(&fetches, &f->link);
    if (instance_doomed(l->instance))
        return;
    fault = fault_next(IO_FASTLY);
    if (fault == FAULT_KILL_BEFORE) {
        instance_kill(l->instance);
        return;
    }
    ns = serve(f, url, timeout_ms, fault);
    f->end = engine_at(f->page.began_ns + ns, l->instance, on_end, f);
    if (fault == FAULT_KILL_AFTER)
        instance_kill(l->instance);
}

static struct fetch *first_of(int instance)
{
    list_each(it, &fetches) {
        struct fetch *f = list_entry(it, struct fetch, link);

        if (instance == ENGINE_NOBODY || f->instance == instance)
            return f;
    }
    return NULL;
}

static void end_all(int instance)
{
    struct fetch *f;

    while ((f = first_of(instance))) {
        engine_cancel(f->end);
        snprintf(f->page.why, sizeof(f->page.why), "its process is dead");
        end(f);
    }
}

void fake_page_answer_dead(int instance)
{
    end_all(instance);
}

void fake_page_end(void)
{
    end_all(ENGINE_NOBODY);
}
