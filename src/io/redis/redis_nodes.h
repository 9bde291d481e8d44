/* SPDX-License-Identifier: MIT
 * The nodes of a Cluster that are known, and which of them to connect to next. */
#pragma once

#include "redis.h"

struct redisReply;
struct redis_nodes;

/* Begins with the nodes that the address names. */
struct redis_nodes *redis_nodes_new(const struct redis_address *a);
void redis_nodes_free(struct redis_nodes *n); /* NULL is fine */

uint32_t redis_nodes_count(const struct redis_nodes *n);
/* Puts the node to connect to into the address: the one that was named or found good last, if that
 * has not been tried since; otherwise the next of all nodes. */
void redis_nodes_choose(struct redis_nodes *n, struct redis_address *a);
/* The next choice is this node. Host NULL: the host of `a`. Returns false if that is the node which
 * `a` already names: it sends us to itself. */
bool redis_nodes_named(struct redis_nodes *n, const struct redis_place *at,
                       const struct redis_address *a);
/* The node that was chosen last is in use: after a loss it is tried first. */
void redis_nodes_good(struct redis_nodes *n, const struct redis_address *a);
/* Adds the nodes in a reply to CLUSTER SLOTS. Any other reply adds nothing. */
void redis_nodes_learn(struct redis_nodes *n, const struct redisReply *slots);
