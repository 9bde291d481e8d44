/* SPDX-License-Identifier: MIT
 * Digests, and comparisons in constant time. This is the only file that uses OpenSSL's
 * libcrypto. */
#pragma once

#include "config.h"
#include "span.h"

#define DIGEST_SHA256_BYTES 32
#define DIGEST_MAX_BYTES 32
#define DIGEST_TEXT_ROOM 65 /* the longest encoding of DIGEST_MAX_BYTES, and a NUL */

enum digest_kind { DIGEST_SHA256, DIGEST_SHA1 };

void digest_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_BYTES]);

/* HMAC (RFC 2104) over the concatenated parts. Returns the number of bytes written: 32 or 20. The
 * key must not be empty, because anyone could sign with an empty key. */
size_t digest_hmac(enum digest_kind kind, struct span key, const struct span *parts,
                   size_t parts_count, uint8_t out[DIGEST_MAX_BYTES]);

/* Hexadecimal in lower case, or base64 (RFC 4648 sections 4 and 5) without the padding. At most
 * DIGEST_MAX_BYTES; NUL-terminated. Returns out as a span. */
struct span digest_text(const uint8_t *digest, size_t n, enum hook_encoding encoding,
                        char out[DIGEST_TEXT_ROOM]);

/* Compares in a time that depends only on the lengths. */
bool digest_same(struct span a, struct span b);

/* Hashes both first, so that the time does not reveal even the length of the secret. */
bool digest_same_secret(struct span a, struct span b);
