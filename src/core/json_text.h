/* SPDX-License-Identifier: MIT
 * Any bytes as JSON. jansson refuses what is not UTF-8 by returning NULL, and a NULL inside
 * json_pack makes the whole document NULL; so texts enter our JSON here, and nowhere else
 * (tests/lint). */
#pragma once

#include "span.h"

struct json_t;

/* Never NULL. What is not UTF-8 is read as Latin-1, byte by byte; a NUL becomes U+FFFD. */
must_use struct json_t *json_text(struct span s);
must_use struct json_t *json_text_of(const char *s); /* NULL: null */

/* The document in one line, NUL-terminated, the caller's to free. */
must_use char *json_text_line(const struct json_t *j);
