/* SPDX-License-Identifier: MIT
 * What every fuzzer shares: the entry point that libFuzzer and replay.c call, and cutting the input
 * into lines. */
#pragma once

#include "span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the bytes up to the next '\n' (or all) off the front of *rest. */
static inline struct span fuzz_line(struct span *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct span line = span_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    size_t used = line.n + (end ? 1 : 0);

    *rest = span_of(rest->p + used, rest->n - used);
    return line;
}
