/* SPDX-License-Identifier: MIT
 * The embedded Redis: it runs in the data folder, listens on a Unix socket, evicts nothing, and
 * confirms writes only when they are on disk. It is restarted when it dies, and it stops together
 * with this process. */
#pragma once

#include "loop.h"

struct embedded;

/* ready: it accepts connections (again). failed: it cannot be started; the reason is in the log. */
struct embedded *embedded_start(struct loop *l, const char *data_dir, const char *socket_path,
                                loop_cb *ready, loop_cb *failed, void *ctx);
/* Asks it to shut down (it writes its file first), kills it when it is not gone after 10 s, and
 * calls stopped when it is gone, or 5 s after that; frees itself. */
void embedded_stop(struct embedded *e, loop_cb *stopped, void *ctx);
