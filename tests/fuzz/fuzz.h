/* SPDX-License-Identifier: MIT
 * Used by all fuzzers: the entry point that libFuzzer and replay.c call, and a function that splits
 * the input into lines. */
#pragma once

#include "span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Removes the bytes up to the next '\n' (or all bytes) from the front of *rest, and returns them.
 */
static inline struct span fuzz_line(struct span *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct span line = span_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    size_t used = line.n + (end ? 1 : 0);

    *rest = span_of(rest->p + used, rest->n - used);
    return line;
}
