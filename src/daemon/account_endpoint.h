/* SPDX-License-Identifier: MIT
 * How an account reaches Fastly: reads its token, its CA files and its proxy's password. */
#pragma once

#include "config.h"

/* A new reference for the caller. What cannot be read is logged, and is the endpoint's fault. */
struct endpoint *account_endpoint(const struct config_account *a);
