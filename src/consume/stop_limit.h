/* SPDX-License-Identifier: MIT
 * Ends the process when a consumer that is to stop still waits for a Redis or a queue that does not
 * answer. What it has not committed comes again, as after a crash. */
#pragma once

#define STOP_LIMIT_S 8 /* less than what containers get, which is 10 seconds */

struct stop_limit;

/* From now on the process ends with code 0 so long after `stop_fd` has become readable. `consumer`
 * must outlive it. */
struct stop_limit *stop_limit_new(int stop_fd, const char *consumer);
void stop_limit_free(struct stop_limit *l); /* it has stopped in time; NULL is fine */
