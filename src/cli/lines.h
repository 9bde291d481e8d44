/* SPDX-License-Identifier: MIT
 * A file or a pipe, line by line, with a ceiling for how long a line may be. */
#pragma once

#include <stdio.h>

#include "buf.h"

struct lines {
    FILE *file; /* the caller's */
    struct buf line;
    uint64_t number; /* of the line read last, from 1 */
    uint64_t bytes;  /* read so far */
};

void lines_init(struct lines *l, FILE *file, size_t line_max_bytes);
void lines_deinit(struct lines *l);

/* The next line without its end (LF or CRLF) and without blanks around it; lent until the next
 * call. 1; 0 at the end; -EMSGSIZE for a line that is too long and was passed over; -EIO or another
 * errno when reading fails. */
must_use int lines_next(struct lines *l, struct span *line);

struct span lines_trimmed(struct span s); /* without blanks, CR and LF around it */
