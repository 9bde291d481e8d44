/* SPDX-License-Identifier: MIT */
#include "nats_inbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"

struct nats_letter {
    struct nats_letter *next;
    natsMsg *msg;
};

struct nats_inbox {
    pthread_mutex_t lock;
    unsigned refs; /* the owner, the connection and the subscription hold it */
    int fd;        /* an eventfd */
    struct nats_letter *first, **end;
    bool closed;        /* the connection */
    struct error error; /* the last one, without a call that could return it; "": none */
};

struct nats_inbox *nats_inbox_new(void)
{
    struct nats_inbox *i = alloc_zeroed(1, sizeof(*i));

    must(pthread_mutex_init(&i->lock, NULL) == 0);
    i->refs = 1;
    i->end = &i->first;
    i->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return i;
}

static void hold(struct nats_inbox *i)
{
    pthread_mutex_lock(&i->lock);
    i->refs++;
    pthread_mutex_unlock(&i->lock);
}

natsMsg *nats_inbox_take(struct nats_inbox *i)
{
    struct nats_letter *l;
    natsMsg *msg = NULL;

    pthread_mutex_lock(&i->lock);
    l = i->first;
    if (l) {
        i->first = l->next;
        if (!i->first)
            i->end = &i->first;
        msg = l->msg;
    }
    pthread_mutex_unlock(&i->lock);
    free(l);
    return msg;
}

void nats_inbox_release(struct nats_inbox *i)
{
    unsigned left;
    natsMsg *msg;

    pthread_mutex_lock(&i->lock);
    left = --i->refs;
    pthread_mutex_unlock(&i->lock);
    if (left)
        return;
    while ((msg = nats_inbox_take(i)))
        natsMsg_Destroy(msg);
    if (i->fd >= 0)
        close(i->fd);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

int nats_inbox_fd(const struct nats_inbox *i)
{
    return i->fd;
}

void nats_inbox_hush(struct nats_inbox *i)
{
    eventfd_t rung;

    (void)eventfd_read(i->fd, &rung);
}

/* -- called by threads of libnats -- */

static void ring(const struct nats_inbox *i)
{
    (void)eventfd_write(i->fd, 1);
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *ctx)
{
    struct nats_inbox *i = ctx;
    struct nats_letter *l = alloc_zeroed(1, sizeof(*l));

    (void)nc;
    (void)sub;
    l->msg = msg;
    pthread_mutex_lock(&i->lock);
    *i->end = l;
    i->end = &l->next;
    pthread_mutex_unlock(&i->lock);
    ring(i);
}

static void on_subscription_end(void *ctx)
{
    nats_inbox_release(ctx);
}

/* Such as "Permissions Violation for Publish to ...". */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *ctx)
{
    struct nats_inbox *i = ctx;
    const char *text = NULL;

    (void)sub;
    (void)natsConnection_GetLastError(nc, &text);
    pthread_mutex_lock(&i->lock);
    error_set(&i->error, -EIO, "%s", text && *text ? text : natsStatus_GetText(status));
    pthread_mutex_unlock(&i->lock);
    ring(i);
}

static void on_closed(natsConnection *nc, void *ctx)
{
    struct nats_inbox *i = ctx;

    (void)nc;
    pthread_mutex_lock(&i->lock);
    i->closed = true;
    pthread_mutex_unlock(&i->lock);
    ring(i);
    nats_inbox_release(i);
}

/* -- -- */

int nats_inbox_check(struct nats_inbox *i, struct error *err)
{
    int rc = 0;

    pthread_mutex_lock(&i->lock);
    if (i->error.text[0])
        rc = error_set(err, -EIO, "%s", i->error.text);
    else if (i->closed)
        rc = error_set(err, -EIO, "the connection to the server is lost");
    pthread_mutex_unlock(&i->lock);
    return rc;
}

natsStatus nats_inbox_connect(struct nats_inbox *i, natsOptions *o, natsConnection **out)
{
    natsStatus status = natsOptions_SetErrorHandler(o, on_error, i);

    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(o, on_closed, i);
    hold(i); /* on_closed lets it go */
    if (status == NATS_OK)
        status = natsConnection_Connect(out, o);
    if (status != NATS_OK)
        nats_inbox_release(i);
    return status;
}

natsStatus nats_inbox_subscribe(struct nats_inbox *i, natsConnection *nc, const char *subject,
                                natsSubscription **out)
{
    natsStatus status = natsConnection_Subscribe(out, nc, subject, on_message, i);

    if (status != NATS_OK)
        return status;
    hold(i); /* on_subscription_end lets it go */
    status = natsSubscription_SetOnCompleteCB(*out, on_subscription_end, i);
    if (status != NATS_OK)
        nats_inbox_release(i);
    return status;
}
