/* SPDX-License-Identifier: MIT
 * What producers ask of Redis. */
#pragma once

#include "queue.h"

/* XADD. False: it was refused. */
must_use bool producer_push(const char *account, enum lane lane, const struct span *fields,
                            size_t count, struct entry_id *id);
