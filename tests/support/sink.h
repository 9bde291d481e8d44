/* SPDX-License-Identifier: MIT
 * A stand-in for Fastly's API that accepts everything at once, for tests that send more than the
 * sandbox could handle. It speaks HTTP/1.1 without TLS, and is a process with a free loopback port.
 */
#pragma once

#include <sys/types.h>

#include "base.h"

struct sink {
    pid_t pid;
    char url[64]; /* http://127.0.0.1:port */
};

void sink_start(struct sink *s);
void sink_stop(struct sink *s);
