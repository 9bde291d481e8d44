/* SPDX-License-Identifier: MIT
 * Reports the state of dispatch to the HTTP endpoint. */
#pragma once

#include "dispatch.h"
#include "server.h"

/* Fills in what concerns the accounts. */
void vitals_fill(struct vitals *v, enum vitals_wanted wanted, struct dispatch *const *accounts,
                 uint32_t count);
