/* SPDX-License-Identifier: MIT
 * The parts of `doctor`: cmd_doctor.c looks at the page, cmd_doctor_purge.c purges it, and
 * cmd_doctor_pops.c asks what all POPs hold. */
#pragma once

#include "buf.h"
#include "cmd.h"
#include "diagnosis_pops.h"

enum doctor_purge { DOCTOR_LEAVE, DOCTOR_HARD, DOCTOR_SOFT };

struct doctor_target {
    bool by_key;         /* or by URL */
    const char *text;    /* the key or the URL */
    const char *service; /* of the key; "" = the account's default */
};

/* Pushes a purge of the target to the account's queue and waits until it has ended. CMD_OK:
 * *refusal is empty if it was purged, and otherwise says why not. Another exit code: after printing
 * an error. */
must_use int cmd_doctor_purge(const struct cmd_common *common, const struct doctor_target *target,
                              enum doctor_purge how, uint64_t wait_ms, struct buf *refusal);

/* Asks edge_check for the URL with the account's token, prints what each POP holds, and reports
 * findings. With `purge`, least_ms and most_ms are those of the time when the function is called;
 * NULL: there was no purge. CMD_OK, or another exit code after printing an error. */
must_use int cmd_doctor_pops(const struct cmd_common *common, const char *url,
                             const struct diagnosis_pops_purge *purge, diagnosis_cb *cb, void *ctx);
