/* SPDX-License-Identifier: MIT
 * Checks the files and environment variables that an account needs. This is what can be checked
 * before a reload without contacting Redis or Fastly. */
#pragma once

#include "check.h"
#include "redis.h"

/* Checks what a connection to Redis reads: its password and the files of TLS. False if a connection
 * cannot be tried. */
bool check_redis_files(const struct redis_address *a, check_cb *cb, void *ctx);
void check_authorities(const struct config_account *a, check_cb *cb, void *ctx);
/* Checks the authorities, the token, the proxy user and the services. */
void check_files(const struct config_account *a, check_cb *cb, void *ctx);
