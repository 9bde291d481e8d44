/* SPDX-License-Identifier: MIT
 * Borrowed bytes: a pointer and a length, valid during the call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base.h"

struct span {
    const char *p;
    size_t n;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})

static inline struct span span_of(const char *p, size_t n)
{
    return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
    return (struct span){s ? s : "", s ? strlen(s) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_is(struct span a, const char *s)
{
    return span_eq(a, span_str(s));
}

bool span_eq_nocase(struct span a, struct span b); /* ASCII letters only */
bool span_starts_nocase(struct span a, const char *prefix);

static inline bool byte_is_alnum(char c) /* an ASCII letter or digit */
{
    unsigned byte = (unsigned char)c;

    return (byte | 0x20) - 'a' < 26 || byte - '0' < 10;
}

struct span span_trim(struct span s); /* without blanks and tabs at either end */

/* Cuts the next run of bytes up to `sep` off the front of *rest; runs of `sep` count as one.
 * Returns false when nothing is left. */
bool span_next_word(struct span *rest, char sep, struct span *word);

/* Parses the whole span, which must be decimal digits. 0, -EINVAL, or -ERANGE if the number does
 * not fit. */
must_use int span_to_u64(struct span s, uint64_t *out);
/* The same, but -EINVAL for leading zeros, so that each number has only one spelling. Used for
 * ids. */
must_use int span_to_plain_u64(struct span s, uint64_t *out);
