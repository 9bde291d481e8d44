/* SPDX-License-Identifier: MIT
 * A reply that may become long: kept in memory at first, then in an unnamed temporary file. The
 * total size of these files is limited. */
#pragma once

#include "buf.h"
#include "httpd.h"
#include "quota.h"

#define SPOOL_MEMORY_BYTES ((size_t)64 * 1024) /* of each; for the caller to count */

struct spool {
    struct buf memory;
    int file; /* -1 while memory is enough */
    uint64_t file_bytes;
    struct quota_bill
        bill;  /* of the file; kept until spool_deinit, for the answer is read from it */
    bool full; /* there was no room for more: it is time to come to an end */
};

void spool_init(struct spool *s, struct quota *files, const char *party);
void spool_deinit(struct spool *s);

/* 0, or the errno of the file (the disk is full): the spool is of no use then. What is put when it
 * is full is kept all the same. */
must_use int spool_put(struct spool *s, struct span text);
/* All that was put, as the body of the answer. 0 or the errno. */
must_use int spool_answer(struct spool *s, struct answer *a);
