/* SPDX-License-Identifier: MIT
 * What the daemon tells systemd: when it is ready, reloading or stopping, a sentence for
 * `systemctl status`, and, as long as work that could be done is being done, that it need not be
 * killed. Without systemd, all of this does nothing. */
#pragma once

#include "loop.h"

struct supervision;

struct supervision_report {
    bool starting; /* not ready yet, but there is a reason to wait: systemd shall, too */
    bool stalled;  /* there is work that could be done, and no progress */
    char sentence[1100];
};
/* Fills in the report, which is empty. */
typedef void supervision_cb(void *ctx, struct supervision_report *r);

struct supervision *supervision_new(struct loop *l, supervision_cb *look, void *ctx);
void supervision_close(struct supervision *s); /* NULL is fine */

void supervision_ready(struct supervision *s);     /* the start or a reload is over */
void supervision_reloading(struct supervision *s); /* until supervision_ready */
void supervision_stopping(struct supervision *s);
