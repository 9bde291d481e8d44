/* SPDX-License-Identifier: MIT */
#include "producer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

struct producer {
    struct redis_address address;
    const struct config_account *account;
    enqueue_cb *cb;
    void *ctx;
    struct client *client;   /* NULL without a connection */
    struct enqueue *enqueue; /* NULL without a connection */
};

struct producer *producer_new(struct redis_address *address, const struct config_account *account,
                              enqueue_cb *cb, void *ctx)
{
    struct producer *p = alloc_zeroed(1, sizeof(*p));

    p->address = *address;
    *address = (struct redis_address){0};
    p->account = account;
    p->cb = cb;
    p->ctx = ctx;
    return p;
}

static void disconnect(struct producer *p)
{
    enqueue_free(p->enqueue);
    client_close(p->client);
    p->enqueue = NULL;
    p->client = NULL;
}

void producer_free(struct producer *p)
{
    if (!p)
        return;
    if (p->enqueue)
        enqueue_abandon(p->enqueue);
    disconnect(p);
    redis_address_deinit(&p->address);
    free(p);
}

/* True if the connection is dead: Redis closes connections that are idle for long, or may have been
 * restarted. Noticed before a job is sent, this does no harm; later, nobody could say whether the
 * job arrived. */
static bool stale(struct producer *p)
{
    struct redisReply *reply;

    return client_wait(p->client, 0, &reply) != -ETIMEDOUT;
}

int producer_connect(struct producer *p, char *err, size_t err_room)
{
    int rc;

    if (p->client && enqueue_under_way(p->enqueue) == 0 && stale(p))
        disconnect(p);
    if (p->client)
        return 0;
    rc = client_open(&p->address, &p->client, err, err_room);
    if (rc < 0)
        return rc == -EACCES ? rc : -ENOTCONN;
    p->enqueue = enqueue_new(p->client, p->account, p->cb, p->ctx);
    return 0;
}

/* Cleans up after an error, so that the next call starts anew: a refusal stops the enqueue object,
 * and a loss ends the connection. */
static int ended(struct producer *p, int rc)
{
    char ignored[256];

    if (rc == -EIO && enqueue_finish(p->enqueue, ignored, sizeof(ignored)) < 0) {
        enqueue_free(p->enqueue);
        p->enqueue = enqueue_new(p->client, p->account, p->cb, p->ctx);
    } else if (rc == -ENOTCONN) {
        disconnect(p);
    }
    return rc;
}

int producer_put(struct producer *p, enum lane lane, const struct span *fields, size_t fields_count,
                 uint64_t tag, char *err, size_t err_room)
{
    int rc = producer_connect(p, err, err_room);

    if (rc < 0)
        return rc;
    return ended(p, enqueue_put(p->enqueue, lane, fields, fields_count, tag, err, err_room));
}

int producer_finish(struct producer *p, char *err, size_t err_room)
{
    return p->client ? ended(p, enqueue_finish(p->enqueue, err, err_room)) : 0;
}

int producer_poll(struct producer *p, int timeout_ms, char *err, size_t err_room)
{
    return p->client ? ended(p, enqueue_poll(p->enqueue, timeout_ms, err, err_room)) : 0;
}

size_t producer_under_way(const struct producer *p)
{
    return p->enqueue ? enqueue_under_way(p->enqueue) : 0;
}

int producer_fd(const struct producer *p)
{
    return p->client ? client_fd(p->client) : -1;
}
