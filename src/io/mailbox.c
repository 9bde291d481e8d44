/* SPDX-License-Identifier: MIT */
#include "mailbox.h"

#include <uv.h>

#include <stdlib.h>

#include "alloc.h"

struct mailbox {
    uv_async_t wake;
    uv_mutex_t lock;
    struct list posted; /* under lock */
    mailbox_cb *cb;
    void *ctx;
};

static void deliver(struct mailbox *m)
{
    struct list taken;

    list_init(&taken);
    uv_mutex_lock(&m->lock);
    list_splice_back(&taken, &m->posted);
    uv_mutex_unlock(&m->lock);
    if (list_empty(&taken))
        return;
    m->cb(m->ctx, &taken);
    must(list_empty(&taken));
}

static void on_wake(uv_async_t *wake)
{
    deliver(wake->data);
}

struct mailbox *mailbox_new(struct loop *l, mailbox_cb *cb, void *ctx)
{
    struct mailbox *m = alloc_zeroed(1, sizeof(*m));
    int err = uv_mutex_init(&m->lock);

    must(err == 0);
    err = uv_async_init(loop_uv(l), &m->wake, on_wake);
    must(err == 0);
    m->wake.data = m;
    list_init(&m->posted);
    m->cb = cb;
    m->ctx = ctx;
    return m;
}

/* The box that was not empty has a wake-up under way already. It is sent under the lock, so that
 * the box cannot be closed and freed between the two halves of a post. */
static void wake_if(struct mailbox *m, bool was_empty)
{
    int err = was_empty ? uv_async_send(&m->wake) : 0;

    must(err == 0);
}

void mailbox_post(struct mailbox *m, struct list *node)
{
    bool was_empty;

    uv_mutex_lock(&m->lock);
    was_empty = list_empty(&m->posted);
    list_push_back(&m->posted, node);
    wake_if(m, was_empty);
    uv_mutex_unlock(&m->lock);
}

void mailbox_post_all(struct mailbox *m, struct list *nodes)
{
    bool was_empty;

    if (list_empty(nodes))
        return;
    uv_mutex_lock(&m->lock);
    was_empty = list_empty(&m->posted);
    list_splice_back(&m->posted, nodes);
    wake_if(m, was_empty);
    uv_mutex_unlock(&m->lock);
}

static void mailbox_closed(uv_handle_t *handle)
{
    struct mailbox *m = handle->data;

    uv_mutex_destroy(&m->lock);
    free(m);
}

void mailbox_close(struct mailbox *m)
{
    deliver(m);
    uv_close((uv_handle_t *)&m->wake, mailbox_closed);
}
