/* SPDX-License-Identifier: MIT
 * The functions of io/redis/redis.c as the simulator links them: tests/CMakeLists.txt names them
 * so.
 */
#pragma once

#include "redis.h"

struct redis *io_redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                           redis_down_cb *down, void *ctx);
bool io_redis_is_up(const struct redis *r);
void io_redis_set_patience(struct redis *r, uint32_t ms);
void io_redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                      void *ctx);
void io_redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                     const struct redis_sink *sink, void *ctx);
void io_redis_close(struct redis *r, loop_cb *closed, void *ctx);
