/* SPDX-License-Identifier: MIT
 * Whether what an account needs from files and the environment is there: what can be known before a
 * reload without asking Redis or Fastly. */
#pragma once

#include "check.h"

void check_authorities(const struct config_account *a, check_cb *cb, void *ctx);
/* These, token, proxy user and services. */
void check_files(const struct config_account *a, check_cb *cb, void *ctx);
