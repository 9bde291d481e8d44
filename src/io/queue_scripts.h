/* SPDX-License-Identifier: MIT
 * The Lua that runs inside Redis: whatever must happen whole or not at all. One text per script, in
 * queue_scripts.c, and the table of them. */
#pragma once

#include "base.h"

enum queue_script {
    SCRIPT_LANES,     /* can the lanes be read? */
    SCRIPT_DEPTH,     /* how much is in them */
    SCRIPT_LEAD,      /* take or renew the lease, read control, publish status */
    SCRIPT_RELEASE,   /* drop the lease */
    SCRIPT_PAUSE,     /* write control */
    SCRIPT_DROP,      /* the end of plain purged jobs, no receipts */
    SCRIPT_PURGED,    /* the end of plain purged jobs, with receipts */
    SCRIPT_SETTLE,    /* the end of any job, one entry looked up at a time */
    SCRIPT_OVERSIZED, /* the end of an entry that is too large to look at */
    SCRIPT_DUE,       /* from later back to the lanes */
    SCRIPT_SPEND,     /* the ledger's durable half */
    SCRIPT_RESTORE,   /* what the ledger held */
    SCRIPT_N
};

extern const char *const queue_scripts[SCRIPT_N];

/* What SCRIPT_SETTLE and SCRIPT_DUE report when an entry has more fields than Lua can hand to one
 * command (LUAI_MAXCSTACK, 8000 in Redis' Lua): the rest is done without a script. */
#define QUEUE_SCRIPT_FIELDS_MAX 7000
