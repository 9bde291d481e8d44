/* SPDX-License-Identifier: MIT
 * The connections of an instance to Redis, which the queues of its accounts use.
 *
 * A blocking XREAD delays all later commands on its connection, so a queue needs two: one for
 * commands, one for reading. A few accounts have two connections each. More accounts share theirs,
 * so that the number of connections is bounded:
 *
 *   writer   carries commands and scripts. A queue always uses the same one, so that its commands
 *            are carried out in order
 *   reader   reads the lanes of one queue without waiting, then those of the next
 *   watcher  waits inside Redis for new entries in the lanes of up to 64 queues, and only says in
 *            which of them there are any
 *
 *   queue_read ─▶ QUEUED ─▶ UNDER_WAY: a reader ── entries, or no time left ───▶ done
 *                   ▲           └─ nothing yet ─▶ UNWATCHED ─▶ WATCHED ── time is over ─▶ done
 *                   └────────────────────────────── new entry ──┘ */
#pragma once

#include "redis.h"

#define CONNECTIONS_FEW 4u /* so many accounts do not share */

struct connections;

/* For the queues of `accounts` accounts; all must be made before the loop runs. NULL if the
 * accounts should not share connections, because they are few, or because a Cluster has them on
 * several nodes. `owner` names this process, as in queue.h. Freed when the last queue is closed. */
struct connections *connections_new(struct loop *l, const struct redis_address *a,
                                    const char *owner, uint32_t accounts);
/* How many connections the queues of so many accounts have at most. */
uint32_t connections_most(uint32_t accounts, const struct redis_address *a);
