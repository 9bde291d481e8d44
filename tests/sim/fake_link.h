/* SPDX-License-Identifier: MIT
 * The connections to the fake Redis, and what the world does to them. */
#pragma once

#include "fake_loop.h"
#include "fakeredis.h"
#include "redis.h"

/* -- for those who do what io does: fake_connection.c, fake_wire.c -- */
struct fake_link;
/* The bytes of an answer, or the first of them. */
typedef void fake_link_bytes_cb(void *ctx, struct span bytes);

/* Like redis_new and the other functions of io/redis/redis.h. To a machine of a Cluster (or
 * FAKE_CLUSTER_NO_MACHINE): it is made only once, and `down` is called when it is lost or cannot be
 * made.
 */
struct fake_link *fake_link_new(struct loop *l, int machine, redis_up_cb *up, redis_down_cb *down,
                                void *ctx);
bool fake_link_is_up(const struct fake_link *r);
void fake_link_command(struct fake_link *r, size_t argc, const struct span *argv,
                       redis_reply_cb *cb, void *ctx);
void fake_link_stream(struct fake_link *r, uint32_t block_ms, size_t argc, const struct span *argv,
                      const struct redis_sink *sink, void *ctx);
/* The callback is not called if the connection is lost before the answer. */
void fake_link_bytes(struct fake_link *r, uint32_t block_ms, size_t argc, const struct span *argv,
                     fake_link_bytes_cb *cb, void *ctx);
void fake_link_close(struct fake_link *r, loop_cb *closed, void *ctx);

/* -- the world -- */
void fake_link_begin(void);
void fake_link_break_all(const char *why); /* but for those to a master that is cut off */
void fake_link_break_cut_off(const char *why);
void fake_link_break_machine(int machine, const char *why);
/* For those to a master that is cut off: no replica confirms anything any more. */
void fake_link_replica_is_gone(void);
/* An entry has come into a stream: who waits for it is answered. */
void fake_link_added(struct span key);
void fake_link_moved(void); /* keys are at another node: who waits for them is told so */

/* The instance died. What it had under way is done or not; it is told that it is not, so that it
 * can be taken apart, and whatever it does from now on has no effect. */
void fake_link_bury(int instance);
/* Answers what a dead instance still asks. */
void fake_link_answer_dead(int instance);
void fake_wire_answer_dead(int instance); /* for its lookups of names, which fail */
