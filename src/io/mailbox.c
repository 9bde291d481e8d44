/* SPDX-License-Identifier: MIT
 *
 * The wake-up uses our own eventfd instead of uv_async_t. If the receiver of a uv_async_t runs
 * before the sender has returned from its system call, which on one core is nearly always, it
 * busy-waits for the sender. */
#include "mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include <stdlib.h>

#include "alloc.h"

struct mailbox {
    uv_poll_t poll; /* of fd */
    int fd;
    uv_mutex_t lock;
    uv_cond_t woken;
    struct list posted; /* under lock */
    uint32_t waking;    /* under lock: number of wake-ups being written */
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

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct mailbox *m = poll->data;
    uint64_t times;

    (void)status;
    (void)events;
    if (read(m->fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
        deliver(m);
}

struct mailbox *mailbox_new(struct loop *l, mailbox_cb *cb, void *ctx)
{
    struct mailbox *m = alloc_zeroed(1, sizeof(*m));
    int err = uv_mutex_init(&m->lock);

    must(err == 0);
    err = uv_cond_init(&m->woken);
    must(err == 0);
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(m->fd >= 0);
    err = uv_poll_init(loop_uv(l), &m->poll, m->fd);
    must(err == 0);
    m->poll.data = m;
    err = uv_poll_start(&m->poll, UV_READABLE, on_wake);
    must(err == 0);
    list_init(&m->posted);
    m->cb = cb;
    m->ctx = ctx;
    return m;
}

/* Must not hold the lock: the receiver would run at once and block on it. */
static void wake(struct mailbox *m)
{
    uint64_t once = 1;
    ssize_t n = write(m->fd, &once, sizeof(once));

    must(n == (ssize_t)sizeof(once));
    uv_mutex_lock(&m->lock);
    if (--m->waking == 0)
        uv_cond_signal(&m->woken);
    uv_mutex_unlock(&m->lock);
}

/* If the mailbox was not empty, a wake-up is already on its way. */
void mailbox_post_all(struct mailbox *m, struct list *nodes)
{
    bool was_empty;

    if (list_empty(nodes))
        return;
    uv_mutex_lock(&m->lock);
    was_empty = list_empty(&m->posted);
    list_splice_back(&m->posted, nodes);
    m->waking += was_empty;
    uv_mutex_unlock(&m->lock);
    if (was_empty)
        wake(m);
}

void mailbox_post(struct mailbox *m, struct list *node)
{
    struct list one;

    list_init(&one);
    list_push_back(&one, node);
    mailbox_post_all(m, &one);
}

static void mailbox_closed(uv_handle_t *handle)
{
    struct mailbox *m = handle->data;

    close(m->fd);
    uv_cond_destroy(&m->woken);
    uv_mutex_destroy(&m->lock);
    free(m);
}

/* Waits for threads that have posted but not yet finished the wake-up. */
void mailbox_close(struct mailbox *m)
{
    deliver(m);
    uv_mutex_lock(&m->lock);
    while (m->waking)
        uv_cond_wait(&m->woken, &m->lock);
    uv_mutex_unlock(&m->lock);
    uv_close((uv_handle_t *)&m->poll, mailbox_closed);
}
