/* SPDX-License-Identifier: MIT
 * Checks the files and environment variables that an account needs. This is what can be checked
 * before a reload without contacting Redis or Fastly. */
#pragma once

#include "check.h"

void check_authorities(const struct config_account *a, check_cb *cb, void *ctx);
/* Checks the authorities, the token, the proxy user and the services. */
void check_files(const struct config_account *a, check_cb *cb, void *ctx);
