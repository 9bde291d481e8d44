/* SPDX-License-Identifier: MIT
 * Checks that an account's keys in Redis are valid, and that our Redis user has the permissions
 * that purgeline needs. */
#pragma once

#include "check.h"
#include "client.h"

/* Both query Redis. They change nothing except a test key of their own, which expires within a
 * second. */
void check_keys(struct client *c, const struct config_account *a, check_cb *cb, void *ctx);
void check_permissions(struct client *c, const struct config_account *a, uint32_t replicas,
                       check_cb *cb, void *ctx);
