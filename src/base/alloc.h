/* SPDX-License-Identifier: MIT
 * Memory that is there or the process is not: allocation aborts, so every ceiling a stranger could
 * push against is a configured number instead. Release with free(). */
#pragma once

#include <stddef.h>

/* Memory that an allocation of n bytes takes, as glibc has it: 8 bytes of its own, in steps of 16.
 */
#define ALLOC_TAKES(n) ((n) + 8 < 32 ? (size_t)32 : ((size_t)(n) + 8 + 15) & ~(size_t)15)

__attribute__((returns_nonnull, malloc)) void *alloc_bytes(size_t size);
__attribute__((returns_nonnull, malloc)) void *alloc_zeroed(size_t count, size_t size);
__attribute__((returns_nonnull)) void *alloc_grow(void *p, size_t count, size_t size);
__attribute__((returns_nonnull, malloc)) char *alloc_copy(const char *p, size_t n); /* adds a NUL */
__attribute__((returns_nonnull, malloc)) char *alloc_str(const char *s);
__attribute__((returns_nonnull, malloc, format(printf, 1, 2))) char *alloc_printf(const char *fmt,
                                                                                  ...);
