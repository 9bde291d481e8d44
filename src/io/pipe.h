/* SPDX-License-Identifier: MIT
 * Standard input line by line and standard output as text, for a program in a pipeline: it reports
 * when the input pauses, and when the process is asked to stop. */
#pragma once

#include "span.h"

struct pipe;

enum pipe_event {
    PIPE_LINE,
    PIPE_TOO_LONG, /* a line beyond the ceiling, passed over */
    PIPE_PAUSED,   /* no whole line is there now */
    PIPE_ENDED,    /* nothing more will come: end of input, or it was asked to stop */
};

/* SIGTERM, SIGINT and SIGHUP ask to stop: the first is noted, the second ends the process as ever.
 */
struct pipe *pipe_new(int in_fd, int out_fd, size_t line_max_bytes);
void pipe_free(struct pipe *p); /* with what was not flushed; gives the signals back */

/* The next line without its end, lent until the next call, and its number from 1. Does not block. A
 * failing read ends the input; pipe_error says why. */
enum pipe_event pipe_next(struct pipe *p, struct span *line, uint64_t *number);
void pipe_wait(struct pipe *p); /* until there may be something to read, or it is asked to stop */
int pipe_error(const struct pipe *p); /* negative errno that ended the input, or 0 */

/* Sleeps, but not when asked to stop. Whether that is so. */
bool pipe_sleep(struct pipe *p, int ms);

/* Puts text into the output, which grows without end until it is flushed. */
struct buf *pipe_out(struct pipe *p);
/* Writes all of it, waiting for the reader. 0 or negative errno (-EPIPE: the reader is gone). */
must_use int pipe_flush(struct pipe *p);
