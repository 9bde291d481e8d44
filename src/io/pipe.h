/* SPDX-License-Identifier: MIT
 * Standard input line by line and standard output as text, for a program in a pipeline: it reports
 * when the input pauses, and when the process is asked to stop. */
#pragma once

#include "span.h"

struct pipe;

enum pipe_event {
    PIPE_LINE,
    PIPE_TOO_LONG, /* a line above the maximum length, skipped */
    PIPE_PAUSED,   /* no complete line is available now */
    PIPE_ENDED,    /* end of input, or the process was asked to stop */
};

/* SIGTERM, SIGINT and SIGHUP are requests to stop: the first is recorded, the second ends the
 * process as usual. */
struct pipe *pipe_new(int in_fd, int out_fd, size_t line_max_bytes);
void pipe_free(struct pipe *p); /* drops unflushed output; restores the signal mask */

/* Gets the next line without its line end, valid until the next call, and its number, starting at
 * 1. Does not block. A read error ends the input; see pipe_error. */
enum pipe_event pipe_next(struct pipe *p, struct span *line, uint64_t *number);
void pipe_wait(struct pipe *p);       /* waits for input or a request to stop */
int pipe_error(const struct pipe *p); /* negative errno that ended the input, or 0 */

/* Sleeps until the time is over or there is a request to stop. Returns whether there was one. */
bool pipe_sleep(struct pipe *p, int ms);

/* The output buffer, for appending. It grows without limit until it is flushed. */
struct buf *pipe_out(struct pipe *p);
/* Writes all buffered output, waiting for the reader. 0 or negative errno (-EPIPE: the reader is
 * gone). */
must_use int pipe_flush(struct pipe *p);
