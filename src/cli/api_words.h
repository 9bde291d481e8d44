/* SPDX-License-Identifier: MIT
 * The API's error message for people: "msg" and "detail" of the body of its answer. */
#pragma once

#include <stddef.h>

struct json_t;

/* Writes ": msg: detail", escaped for a log line, or "" if there is neither. `doc` may be NULL. */
void api_words(const struct json_t *doc, char *out, size_t room);
