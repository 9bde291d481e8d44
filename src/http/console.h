/* SPDX-License-Identifier: MIT
 * The files of the console, the web page for operators. The build embeds src/http/console/ and
 * deploy/runbook.md in the program: src/http/console/embed.cmake. */
#pragma once

#include <stddef.h>

struct console_file {
    const char *name; /* in /console/<name>; "index.html" is /console itself */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotation marks; changes with the content */
    const unsigned char *bytes;
    size_t size;
};

extern const struct console_file console_files[]; /* sorted by name */
extern const size_t console_files_count;
