/* SPDX-License-Identifier: MIT */
#include "push.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"

struct push_connection {
    struct redis_address address;
    const struct config_account *account;
    push_pipeline_cb *cb;
    void *ctx;
    struct client *client;         /* NULL without a connection */
    struct push_pipeline *enqueue; /* NULL without a connection */
};

struct push_connection *push_connection_new(struct redis_address *address,
                                            const struct config_account *account,
                                            push_pipeline_cb *cb, void *ctx)
{
    struct push_connection *p = alloc_zeroed(1, sizeof(*p));

    p->address = *address;
    *address = (struct redis_address){0};
    p->account = account;
    p->cb = cb;
    p->ctx = ctx;
    return p;
}

static struct push_pipeline *new_pipeline(struct push_connection *p)
{
    return push_pipeline_new(p->client, p->account, p->address.replicas, p->cb, p->ctx);
}

void push_connection_set_replicas(struct push_connection *p, uint32_t replicas)
{
    p->address.replicas = replicas;
    if (!p->client || push_pipeline_pending(p->enqueue))
        return;
    push_pipeline_free(p->enqueue);
    p->enqueue = new_pipeline(p);
}

bool push_connection_few(const struct push_connection *p)
{
    return p->enqueue && push_pipeline_few(p->enqueue);
}

static void disconnect(struct push_connection *p)
{
    push_pipeline_free(p->enqueue);
    client_close(p->client);
    p->enqueue = NULL;
    p->client = NULL;
}

void push_connection_free(struct push_connection *p)
{
    if (!p)
        return;
    if (p->enqueue)
        push_pipeline_abandon(p->enqueue);
    disconnect(p);
    redis_address_deinit(&p->address);
    free(p);
}

/* True if the connection is dead: Redis closes connections that are idle for long, or may have been
 * restarted. Noticed before a job is sent, this does no harm; later, nobody could say whether the
 * job arrived. */
static bool stale(struct push_connection *p)
{
    struct redisReply *reply;

    return client_wait(p->client, 0, &reply) != -ETIMEDOUT;
}

int push_connection_connect(struct push_connection *p, struct error *err)
{
    int rc;

    if (p->client && push_pipeline_pending(p->enqueue) == 0 && stale(p))
        disconnect(p);
    if (p->client)
        return 0;
    rc = client_open(&p->address, &p->client, err);
    if (rc < 0)
        return rc == -EACCES ? rc : -ENOTCONN;
    client_remember_sentinel(p->client, &p->address);
    p->enqueue = new_pipeline(p);
    return 0;
}

/* Cleans up after an error, so that the next call starts anew: a refusal stops the enqueue object,
 * and a loss ends the connection. */
static int ended(struct push_connection *p, int rc)
{
    struct error ignored;

    if (rc == -EIO && push_pipeline_finish(p->enqueue, &ignored) < 0) {
        push_pipeline_free(p->enqueue);
        p->enqueue = new_pipeline(p);
    } else if (rc == -ENOTCONN) {
        disconnect(p);
    }
    return rc;
}

int push_connection_put(struct push_connection *p, enum lane lane, const struct span *fields,
                        size_t fields_count, uint64_t tag, struct error *err)
{
    int rc = push_connection_connect(p, err);

    if (rc < 0)
        return rc;
    return ended(p, push_pipeline_put(p->enqueue, lane, fields, fields_count, tag, err));
}

int push_connection_finish(struct push_connection *p, struct error *err)
{
    return p->client ? ended(p, push_pipeline_finish(p->enqueue, err)) : 0;
}

int push_connection_poll(struct push_connection *p, int timeout_ms, struct error *err)
{
    return p->client ? ended(p, push_pipeline_poll(p->enqueue, timeout_ms, err)) : 0;
}

size_t push_connection_pending(const struct push_connection *p)
{
    return p->enqueue ? push_pipeline_pending(p->enqueue) : 0;
}

int push_connection_fd(const struct push_connection *p)
{
    return p->client ? client_fd(p->client) : -1;
}
