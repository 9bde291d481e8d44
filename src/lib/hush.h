/* SPDX-License-Identifier: MIT
 * Blocks SIGPIPE in this thread for a while: a library must not kill its caller when Redis closes
 * the connection, and must not change the signal handlers of the process. */
#pragma once

#include <signal.h>

#include "base.h"

struct hush {
    sigset_t before;
    bool pending; /* a SIGPIPE that is not ours was already pending */
};

void hush_begin(struct hush *h);
void hush_end(struct hush *h); /* discards a SIGPIPE that arrived meanwhile; keeps errno */
