/* SPDX-License-Identifier: MIT
 * Escapes untrusted bytes for log lines, terminals and JSON. */
#pragma once

#include <stdarg.h>

#include "buf.h"

/* Appends `s` to `out`, escaped for that destination. */
typedef void show_clean_cb(struct buf *out, struct span s);

/* For the inside of a quoted value in a log line: printable ASCII stays; a quote or a backslash
 * gets a backslash in front; any other byte becomes \xNN. A \xNN written by log_quote is kept. */
void show_for_log(struct buf *out, struct span s);

/* For people at a terminal: valid UTF-8 stays. Control characters (C0, DEL, C1), characters that
 * change the direction of writing, and bytes that are not valid UTF-8 become \xNN. */
void show_for_terminal(struct buf *out, struct span s);

/* Valid UTF-8 for JSON: a byte that belongs to no valid sequence is read as Latin-1; a NUL
 * becomes U+FFFD. */
void show_as_utf8(struct buf *out, struct span s);

/* The length in bytes of the first character of `s`, or 0 if `s` does not start with valid UTF-8
 * (RFC 3629). */
size_t show_utf8_length(struct span s);

/* vsnprintf, appended to `out`, with every %s (and %.*s) cleaned. Knows the conversions
 * d i u x X c s p f g and %, with the lengths l ll z h hh j. */
void show_vprintf(struct buf *out, show_clean_cb *clean, const char *fmt, va_list ap);
