/* SPDX-License-Identifier: MIT
 * A request to stop as a file descriptor, for a program that blocks in poll(2). */
#pragma once

/* From now on SIGTERM, SIGINT and SIGHUP do not end the process; the descriptor becomes readable
 * and stays so, also for threads that are started later. Call it once. Negative errno if there is
 * no descriptor left. */
int stop_signal_fd(void);
