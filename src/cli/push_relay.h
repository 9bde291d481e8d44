/* SPDX-License-Identifier: MIT
 * Pushes jobs from a pipe into the streams until the input ends, and acknowledges each line, in the
 * order of input, once Redis has stored it. */
#pragma once

#include "jobform.h"
#include "pipe.h"
#include "push.h"

/* At most one job or error is kept for each line that is not acknowledged yet. The limits are on
 * the number of these lines and on their bytes, which the last line may exceed. */
#define RELAY_LINES_MAX 1024
#define RELAY_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct push_relay_options {
    enum lane lane;
    enum jobform_kind kind;
    const struct jobform *defaults; /* fields for jobs that do not set them */

    /* Writes the output line for an input line: its job, or what is wrong with it. */
    void (*answer)(void *ctx, uint64_t line, const char *job, const char *error, struct buf *out);
    /* Called once when Redis cannot be reached or refuses jobs temporarily, with the number of
     * waiting lines. */
    void (*away)(void *ctx, const char *why, size_t lines);
    void (*back)(void *ctx); /* Redis has stored these lines */
    void *ctx;
};

struct push_relay_counts {
    uint64_t accepted;
    uint64_t wrong; /* lines that are not jobs */
    uint64_t open;  /* taken but not acknowledged; only after an error */
};

/* Runs until the input ends or the process is asked to stop, and then until everything taken has
 * been acknowledged; returns 0. Errors, with a message: -ENOTCONN: asked to stop while Redis cannot
 * be reached; -EACCES: login refused; -EIO: Redis refuses permanently; -EPIPE: nobody reads the
 * acknowledgements; another errno: the input cannot be read.
 *
 * When Redis is available again after a failure, everything from the first line that is not
 * acknowledged is sent again, in order: at least once, never out of order. */
must_use int push_relay_run(struct pipe *pipe, struct redis_address *address,
                            const struct config_account *account,
                            const struct push_relay_options *options,
                            struct push_relay_counts *counts, struct error *err);
