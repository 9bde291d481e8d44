/* SPDX-License-Identifier: MIT
 * An answer that may become long: in memory at first, then in a file that has no name. */
#pragma once

#include "buf.h"
#include "httpd.h"

struct spool {
    struct buf memory;
    int file; /* -1 while memory is enough */
    uint64_t file_bytes;
};

void spool_init(struct spool *s);
void spool_deinit(struct spool *s);

/* 0, or the errno of the file (the disk is full): the spool is of no use then. */
must_use int spool_put(struct spool *s, struct span text);
/* All that was put, as the body of the answer; the spool is empty then. 0 or the errno. */
must_use int spool_answer(struct spool *s, struct answer *a);
