/* SPDX-License-Identifier: MIT
 * Turns any bytes into JSON strings. jansson returns NULL for text that is not UTF-8, and a NULL
 * inside json_pack makes the whole document NULL, so all strings in our JSON must be made here
 * (tests/lint checks this). */
#pragma once

#include "buf.h"
#include "span.h"

struct json_t;

/* Never returns NULL. Bytes that are not valid UTF-8 are read as Latin-1; a NUL becomes U+FFFD. */
must_use struct json_t *json_text(struct span s);
must_use struct json_t *json_text_of(const char *s); /* JSON null for NULL */

/* Appends the text as json_text_line(json_text(s)) has it, with its quotes. For what is written so
 * often (replies to pushes, lines of the history) that a tree of jansson's would cost too much. */
void json_text_put(struct buf *to, struct span s);

/* Returns the document as one NUL-terminated line, which the caller must free. */
must_use char *json_text_line(const struct json_t *j);
