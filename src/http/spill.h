/* SPDX-License-Identifier: MIT
 * A reply that may become long: kept in memory at first, then in an unnamed temporary file. The
 * total size of these files is limited. */
#pragma once

#include "buf.h"
#include "httpd.h"
#include "quota.h"

#define SPILL_MEMORY_BYTES ((size_t)64 * 1024) /* of each spill; the caller counts them */

struct spill {
    struct buf memory;
    int file; /* -1 while memory is enough */
    uint64_t file_bytes;
    struct quota_bill
        bill;  /* of the file; kept until spill_deinit, for the answer is read from it */
    bool full; /* the limit was exceeded: the caller should put no more than necessary */
};

void spill_init(struct spill *s, struct quota *files, const char *party);
void spill_deinit(struct spill *s);

/* 0, or the negative errno of the file, for example if the disk is full; the spill is then
 * unusable. Text that is put after `full` was set is still kept. */
must_use int spill_put(struct spill *s, struct span text);
/* Makes everything that was put the body of the reply. 0 or a negative errno. */
must_use int spill_answer(struct spill *s, struct answer *a);
