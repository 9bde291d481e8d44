/* SPDX-License-Identifier: MIT
 * Whether Redis permits its user all that purgeline does with an account's keys. */
#pragma once

#include "client.h"

/* The rules that the user lacks, " +eval +xadd", to be freed; "" when it lacks none. Changes
 * nothing but an own key that expires within a second. The connection is good for nothing else
 * then. */
char *permissions_missing(struct client *c, const char *account);
