/* SPDX-License-Identifier: MIT
 * Reading a small file as a whole, and checking who has access to it. */
#pragma once

#include "buf.h"

/* Appends the file to `out`. 0, -EMSGSIZE when it is longer than `out` allows, or the errno of
 * opening or reading. Intermediate buffers are wiped because files may contain secrets. */
must_use int file_read(const char *path, struct buf *out);

/* Which other users may read or change a file or folder; the most serious case that applies. */
enum file_access {
    FILE_PRIVATE,
    FILE_GROUP_READS, /* a group other than our own may read it, and root does not own it
                         (root-owned secrets of a service are fine) */
    FILE_OTHERS_READ,
    FILE_GROUP_WRITES,
    FILE_ANYBODY_WRITES,
};

/* 0, or the errno of stat. Anything other than a file or folder (a pipe, a device) counts as
 * private. */
must_use int file_access(const char *path, enum file_access *access, bool *is_folder);
