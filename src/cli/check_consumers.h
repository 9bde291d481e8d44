/* SPDX-License-Identifier: MIT
 * Checks that the sources of the consumers can be read. */
#pragma once

#include "check.h"

/* Of all consumers, or only of those of the named account. Looks at each source, and changes
 * nothing there. */
void check_consumers(const struct config *c, const char *account, check_cb *cb, void *ctx);
