/* SPDX-License-Identifier: MIT */
#pragma once

#include "span.h"

/* Decodes base64 with its padding (RFC 4648, section 4). `out` needs room for three bytes for each
 * four of the text. Returns the number of bytes; 0 if the text is not base64. */
size_t base64_decode(struct span text, char *out);
