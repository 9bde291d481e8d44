/* SPDX-License-Identifier: MIT
 * Pushes jobs from a pipe into the streams until the input ends, and acknowledges each line, in the
 * order of input, once Redis has stored it. */
#pragma once

#include "jobform.h"
#include "pipe.h"
#include "producer.h"

/* One job or error at most is remembered for each line that is not acknowledged yet; so many, of so
 * many bytes, and then one line more. */
#define RELAY_LINES_MAX 1024
#define RELAY_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct relay_options {
    enum lane lane;
    enum jobform_kind kind;
    const struct jobform *defaults; /* fields for the jobs that do not say otherwise */

    /* Writes the line that answers an input line: its job, or what is wrong with it. */
    void (*answer)(void *ctx, uint64_t line, const char *job, const char *error, struct buf *out);
    /* Redis is away, or will have nothing now, and so many lines wait; called once. */
    void (*away)(void *ctx, const char *why, size_t lines);
    void (*back)(void *ctx); /* Redis has them */
    void *ctx;
};

struct relay_counts {
    uint64_t accepted;
    uint64_t wrong; /* lines that are no job */
    uint64_t open;  /* taken and not acknowledged: only after an error */
};

/* Until the input ends or the process is asked to stop, and then until everything taken has been
 * acknowledged: 0. Else, with a sentence: -ENOTCONN: asked to stop while Redis is away; -EACCES:
 * login refused; -EIO: Redis refuses for good; -EPIPE: nobody reads the acknowledgements; another
 * errno: the input cannot be read.
 *
 * When Redis goes away, everything from the first line that is not acknowledged is sent again, in
 * order, when it is back: at least once, never out of order. */
must_use int relay_run(struct pipe *pipe, struct redis_address *address,
                       const struct config_account *account, const struct relay_options *options,
                       struct relay_counts *counts, char *err, size_t err_room);
