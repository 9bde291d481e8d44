/* SPDX-License-Identifier: MIT
 * The message of a failed call, for people: one sentence or less, without a newline. The caller
 * provides the struct; a function sets it only if it fails and says so in its header. */
#pragma once

#include <stdarg.h>

#include "base.h"

/* The longest messages quote a path of the file system or what Redis or curl says. */
#define ERROR_ROOM 1024

struct error {
    char text[ERROR_ROOM]; /* NUL-terminated */
};

/* Renders the message and returns `code`, which must be a negative errno:
 *
 *     return error_set(err, -EINVAL, "%s: missing", name);
 *
 * A message that is too long is cut between two characters of UTF-8. The arguments may point into
 * the present message, so that a caller can put something in front of it. */
int error_set(struct error *err, int code, const char *fmt, ...) print_like(3, 4)
    __attribute__((cold));
int error_vset(struct error *err, int code, const char *fmt, va_list ap) print_like(3, 0)
    __attribute__((cold));
