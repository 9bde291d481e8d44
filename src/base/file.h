/* SPDX-License-Identifier: MIT
 * A small file, read whole. */
#pragma once

#include "buf.h"

/* Appends the file to `out`. 0, -EMSGSIZE when it is longer than out may hold, or the errno of
 * opening or reading. What was in the way of the copy is wiped: files may hold secrets. */
must_use int file_read(const char *path, struct buf *out);
