/* SPDX-License-Identifier: MIT
 * Checks a Redis Cluster: its nodes, whether all slots have one, and which of them has which
 * account. */
#pragma once

#include "check_say.h"
#include "client.h"
#include "config.h"

/* Judges one server of the Cluster. */
typedef void check_server_cb(const struct report *r, struct client *client, uint32_t replicas);

/* `account` NULL: all accounts. `judge` is called for each master, with a report that names it. */
void check_cluster(const struct redis_address *a, const struct config *c, const char *account,
                   check_server_cb *judge, check_cb *cb, void *ctx);
