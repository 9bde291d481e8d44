/* SPDX-License-Identifier: MIT
 * Whether an account's keys in Redis are sound, and whether our user may do there what purgeline
 * does. */
#pragma once

#include "check.h"
#include "client.h"

/* Both ask Redis, and change nothing but an own key that expires within a second. */
void check_keys(struct client *c, const struct config_account *a, check_cb *cb, void *ctx);
void check_permissions(struct client *c, const struct config_account *a, check_cb *cb, void *ctx);
