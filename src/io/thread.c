/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <stdlib.h>
#include <uv.h>

#include "alloc.h"

struct thread {
    uv_thread_t uv;
    thread_cb *run;
    void *ctx;
};

struct crowd {
    uv_sem_t over;
    uint32_t count;
    uv_thread_t *at;
};

struct work {
    uv_work_t req;
    thread_cb *work, *done;
    void *ctx;
};

static void on_thread(void *arg)
{
    struct thread *t = arg;

    t->run(t->ctx);
}

struct thread *thread_start(thread_cb *run, void *ctx)
{
    struct thread *t = alloc_zeroed(1, sizeof(*t));
    int err;

    t->run = run;
    t->ctx = ctx;
    err = uv_thread_create(&t->uv, on_thread, t);
    must(err == 0);
    return t;
}

void thread_join(struct thread *t)
{
    int err = uv_thread_join(&t->uv);

    must(err == 0);
    free(t);
}

/* All threads must exist at the same time, so each waits until the last one has started. */
static void await_end(void *arg)
{
    struct crowd *c = arg;

    uv_sem_wait(&c->over);
}

int threads_possible(uint32_t count)
{
    struct crowd c = {.at = alloc_zeroed(count, sizeof(*c.at))};
    int rc = uv_sem_init(&c.over, 0);

    must(rc == 0);
    while (rc == 0 && c.count < count) {
        rc = uv_thread_create(&c.at[c.count], await_end, &c);
        c.count += rc == 0;
    }
    for (uint32_t i = 0; i < c.count; i++)
        uv_sem_post(&c.over);
    for (uint32_t i = 0; i < c.count; i++)
        uv_thread_join(&c.at[i]);
    uv_sem_destroy(&c.over);
    free(c.at);
    return rc;
}

static void on_work(uv_work_t *req)
{
    struct work *w = req->data;

    w->work(w->ctx);
}

static void after_work(uv_work_t *req, int status)
{
    struct work *w = req->data;

    (void)status; /* work is never cancelled */
    w->done(w->ctx);
    free(w);
}

void thread_work(struct loop *l, thread_cb *work, thread_cb *done, void *ctx)
{
    struct work *w = alloc_zeroed(1, sizeof(*w));
    int err;

    w->req.data = w;
    w->work = work;
    w->done = done;
    w->ctx = ctx;
    err = uv_queue_work(loop_uv(l), &w->req, on_work, after_work);
    must(err == 0);
}
