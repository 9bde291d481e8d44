/* SPDX-License-Identifier: MIT
 * A small file, read whole. */
#pragma once

#include "buf.h"

/* Appends the file to `out`. 0, -EMSGSIZE when it is longer than out may hold, or the errno of
 * opening or reading. What was in the way of the copy is wiped: files may hold secrets. */
must_use int file_read(const char *path, struct buf *out);

/* Who else may look into a file or folder, or change it; the worst that holds. */
enum file_access {
    FILE_PRIVATE,
    FILE_GROUP_READS, /* it is neither root's, who gives a service its secrets that way, nor of our
                         own group */
    FILE_OTHERS_READ,
    FILE_GROUP_WRITES,
    FILE_ANYBODY_WRITES,
};

/* 0, or the errno of looking. What is no file or folder (a pipe, a device) is private. */
must_use int file_access(const char *path, enum file_access *access, bool *is_folder);
