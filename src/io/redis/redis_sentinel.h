/* SPDX-License-Identifier: MIT
 * Asks the sentinels of a Redis which server is the master, and listens to all of them for a
 * change. The protocol: https://redis.io/docs/latest/develop/reference/sentinel-clients/ */
#pragma once

#include "redis.h"

struct redis_sentinel;

/* The place of the master: an answer, or news of a failover. `changed`: it is not the one that was
 * named last. */
typedef void redis_sentinel_master_cb(void *ctx, const struct redis_place *now, bool changed);
/* No sentinel could say it. */
typedef void redis_sentinel_failed_cb(void *ctx, const char *why);

/* Does nothing before redis_sentinel_ask. */
struct redis_sentinel *redis_sentinel_new(struct loop *l, const struct redis_address *a,
                                          redis_sentinel_master_cb *master,
                                          redis_sentinel_failed_cb *failed, void *ctx);
/* Asks the sentinels in turn, beginning with the one that has answered last. Then `master` or
 * `failed` is called, never before this function has returned. From the first answer on, all
 * sentinels are listened to: one of them may be frozen, or cut off together with the master. If the
 * one that has answered is lost, the others are asked without being told. */
void redis_sentinel_ask(struct redis_sentinel *s);
/* To be called when the server that was named cannot be used: begins the next question with another
 * sentinel. */
void redis_sentinel_distrust(struct redis_sentinel *s);
/* Calls `closed`, never before this function has returned. Later calls do nothing. */
void redis_sentinel_close(struct redis_sentinel *s, loop_cb *closed, void *ctx);

/* Reads the text of +switch-master, "<master> <old ip> <old port> <new ip> <new port>". False if it
 * is about another master or has not this form. Free out->host. */
must_use bool redis_sentinel_switched(struct span text, const char *master,
                                      struct redis_place *out);
