/* SPDX-License-Identifier: MIT
 * io/redis/redis.h: a connection of fake_link.c. To a Cluster, it is io's own connection, with all
 * that follows a Cluster, which is linked under other names and sits on the wires of fake_wire.c.
 */
#include "fake_cluster.h"
#include "fake_link.h"
#include "io_redis.h"

static struct fake_link *link_of(const struct redis *r)
{
    return (struct fake_link *)r;
}

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    if (fake_cluster_is())
        return io_redis_new(l, a, up, down, ctx);
    return (struct redis *)fake_link_new(l, FAKE_CLUSTER_NO_MACHINE, up, down, ctx);
}

bool redis_is_up(const struct redis *r)
{
    return fake_cluster_is() ? io_redis_is_up(r) : fake_link_is_up(link_of(r));
}

/* Of a connection of fake_link.c, every answer comes, or it is lost. */
void redis_set_patience(struct redis *r, uint32_t ms)
{
    if (fake_cluster_is())
        io_redis_set_patience(r, ms);
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    if (fake_cluster_is())
        io_redis_command(r, argc, argv, cb, ctx);
    else
        fake_link_command(link_of(r), argc, argv, cb, ctx);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    if (fake_cluster_is())
        io_redis_stream(r, block_ms, argc, argv, sink, ctx);
    else
        fake_link_stream(link_of(r), block_ms, argc, argv, sink, ctx);
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    if (fake_cluster_is())
        io_redis_close(r, closed, ctx);
    else
        fake_link_close(link_of(r), closed, ctx);
}
