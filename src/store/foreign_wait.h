/* SPDX-License-Identifier: MIT
 * Waiting for the answer of a command that blocks inside Redis, until the process is asked to
 * stop. */
#pragma once

#include "client.h"

/* How long a command blocks. The answer comes after this time at the latest, so that a lost
 * connection is noticed. */
#define FOREIGN_BLOCK_S 10

/* Waits for the next reply. 0; -EAGAIN: `stop_fd` became readable before; -ENOTCONN, also when the
 * reply is overdue. */
must_use int foreign_wait(struct client *c, int stop_fd, struct redisReply **out);
