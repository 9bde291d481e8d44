/* SPDX-License-Identifier: MIT
 * Keeps SIGPIPE from this thread for a while: a library must not end its caller because Redis hung
 * up, nor touch the handlers of the process. */
#pragma once

#include <signal.h>

#include "base.h"

struct hush {
    sigset_t before;
    bool pending; /* one that is not ours waited already */
};

void hush_begin(struct hush *h);
void hush_end(struct hush *h); /* takes back what came meanwhile; errno stays */
