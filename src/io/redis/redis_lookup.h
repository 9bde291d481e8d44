/* SPDX-License-Identifier: MIT
 * Resolves the name of a host on a loop. */
#pragma once

#include "loop.h"

struct addrinfo;
struct redis_lookup;

/* `found` is NULL on error, and `why` says what is wrong. The callee frees `found` with
 * uv_freeaddrinfo. */
typedef void redis_lookup_cb(void *ctx, struct addrinfo *found, const char *why);

/* Calls `cb` once, never before this function has returned, unless it is cancelled. NULL if it
 * cannot begin; *why then says why. */
struct redis_lookup *redis_lookup_new(struct loop *l, const char *host, redis_lookup_cb *cb,
                                      void *ctx, const char **why);
void redis_lookup_cancel(struct redis_lookup *k); /* NULL is fine */
