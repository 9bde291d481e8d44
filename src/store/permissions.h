/* SPDX-License-Identifier: MIT
 * Checks whether Redis permits its user everything that purgeline does with an account's keys. */
#pragma once

#include "client.h"

/* The rules that the user lacks, like " +eval +xadd", to be freed; "" if none is missing. Changes
 * nothing except a key of its own that expires within a second. Afterwards the connection can only
 * be closed. `replicas`: redis_replicas, for which WAIT is needed. */
char *permissions_missing(struct client *c, const char *account, uint32_t replicas);
