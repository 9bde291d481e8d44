/* SPDX-License-Identifier: MIT
 * Reads a file or a pipe line by line. The length of a line is limited. */
#pragma once

#include <stdio.h>

#include "buf.h"

struct lines {
    FILE *file; /* the caller's */
    struct buf line;
    uint64_t number; /* of the last line read, from 1 */
    uint64_t bytes;  /* read so far */
};

void lines_init(struct lines *l, FILE *file, size_t line_max_bytes);
void lines_deinit(struct lines *l);

/* Reads the next line, without its end (LF or CRLF) and the blanks around it; it is valid until the
 * next call. Returns 1; 0 at the end; -EMSGSIZE if the line is too long and was skipped; -EIO or
 * another negative errno if reading failed. */
must_use int lines_next(struct lines *l, struct span *line);

struct span lines_trimmed(struct span s); /* removes blanks, CR and LF around it */
